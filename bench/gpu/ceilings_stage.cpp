#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include "bench/gpu/first_gpu.h"
#include "bench/gpu/timer.h"
#include "common/log.h"
#include "common/units.h"
#include "kernels/cuda/bench/ceilings.h"

namespace lockstep::gpu_check {
namespace {

struct NamedCeiling {
  Ceiling what;
  const char* name;
  const char* unit;
  double per_unit;  // of the things that the kernel counts
};

constexpr NamedCeiling kCeilings[] = {
    {Ceiling::kRead, "read", "GB/s", 1e9},
    {Ceiling::kFma, "fma, f32", "TFLOP/s", 1e12},
    {Ceiling::kMmaBytes, "mma, signed bytes", "TOP/s", 1e12},
    {Ceiling::kMmaF16, "mma, f16", "TFLOP/s", 1e12},
    {Ceiling::kLinearBytes, "mma, signed bytes, scaled per 32", "TOP/s", 1e12},
    {Ceiling::kLinearF16, "mma, f16, scaled per 32", "TFLOP/s", 1e12},
};

void record(Report& report, const std::string& name, double value, const std::string& unit) {
  char text[100];
  std::snprintf(text, sizeof text, "%-34s %9.1f %s", name.c_str(), value, unit.c_str());
  report.result(text, JsonObject().add("what", name).add("value", value).add("unit", unit));
}

}  // namespace

int measure_ceilings(const Options& options, const Gpus& gpus, Report& report) {
  FirstGpu gpu(gpus);
  const bool large = options.sizes == Sizes::kLarge;
  const int64_t n_bytes = large ? 2_GiB : 64_KiB;
  const Timer timer(gpu, options.sizes);
  const DeviceBuffer from = timer.noise(n_bytes);
  const DeviceBuffer to(gpu.device(), gpu.ledger(), MemoryTag::kOther, n_bytes / 2);
  auto& ceiling = gpu.entry<CudaCeiling>("lockstep_cuda_ceiling");
  auto& copy = gpu.entry<CudaCopy>("lockstep_cuda_copy");

  const CeilingArgs args{from.data(), n_bytes, timer.n_sms(), large ? 2000 : 2};
  for (const NamedCeiling& c : kCeilings) {
    if (report.out_of_time()) break;
    double n = 0;
    const double us = timer.microseconds([&] { n = ceiling(gpu.stream(), c.what, args); });
    record(report, c.name, n / us * 1e6 / c.per_unit, c.unit);
  }
  const double us =
      timer.microseconds([&] { copy(gpu.stream(), to.data(), from.data(), n_bytes / 2); });
  record(report, "copy, read and written", double(n_bytes) / us * 1e6 / 1e9, "GB/s");
  record(report, "a launch in a graph",
         timer.microseconds([&] { ceiling(gpu.stream(), Ceiling::kEmptyLaunches, args); }), "us");
  return report.ended(true, str("ceilings of ", gpu.device().name()));
}

}  // namespace lockstep::gpu_check
