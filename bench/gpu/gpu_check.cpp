// lockstep-gpu-check: one stage of the checks of the CUDA kernels on this machine's GPU
// (stages.h; deploy/gpu_check.sh runs them all). Exit code 0 if what the stage found is right, cut
// short or skipped, 1 if a bit differs or the stage cannot be run, 2 without a GPU or a module for
// one, 64 for arguments that are not those of kUsage.
#include <cstdio>

#include "bench/gpu/stages.h"

namespace {

using namespace lockstep;             // NOLINT(google-build-using-namespace): this is the program
using namespace lockstep::gpu_check;  // NOLINT(google-build-using-namespace)

int no_gpu(const std::string& why, Report& report) {
  report.skipped(why);
  return kExitNoGpu;
}

int run(Options& options) {
  if (options.module.empty()) options.module = CudaModule::default_path();
  Report report(options.stage, options.results, options.seconds);
  if (options.stage == "bits") return check_bits(options, report);
  if (options.stage == "models") return check_models(options, report);

  Result<CudaModule> module = CudaModule::load(options.module);
  if (!module) {
    const Error& error = module.error();
    if (error.code == ErrorCode::kNotFound) return no_gpu(error.message, report);
    return report.ended(false, error.message);
  }
  std::string why_none;
  const Gpus gpus{*module, module->devices(why_none)};
  if (gpus.devices.empty()) return no_gpu("no GPU: " + why_none, report);
  if (options.stage == "probe") return probe(options, gpus, report);
  if (options.stage == "bit-cases") return run_bit_cases(options, gpus);
  if (options.stage == "carriers") return check_carriers(options, gpus, report);
  if (options.stage == "ceilings") return measure_ceilings(options, gpus, report);
  if (options.stage == "rates") return measure_rates(options, gpus, report);
  if (options.stage == "model-cells") return run_model_cells(options, gpus);
  if (options.stage == "nccl") return check_nccl(options, gpus, report);
  CHECK_EQ(options.stage, "nccl-rank");
  return run_nccl_rank(options, gpus);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr, "%s\n", kUsage);
    return kExitUsage;
  }
  return run(options);
}
