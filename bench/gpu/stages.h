// The stages of lockstep-gpu-check. Each runs in a process of its own, which deploy/gpu_check.sh
// starts; it prints and records its results in the Report and returns the program's exit code.
#pragma once

#include <memory>
#include <vector>

#include "bench/gpu/options.h"
#include "bench/gpu/report.h"
#include "kernels/cuda_module.h"

namespace lockstep::gpu_check {

// The module and the devices that it can use, at least one.
struct Gpus {
  CudaModule module;
  std::vector<CudaDeviceInfo> devices;
};

int probe(const Options& options, const Gpus& gpus, Report& report);

// Compares the bits of every op with those of the CPU back end. The cases run in processes of their
// own (isolated_cases.h).
int check_bits(const Options& options, Report& report);
// A case's text is "VALUES DIFFERENT FIRST".
int run_bit_cases(const Options& options, const Gpus& gpus);

// Whether sums of whole numbers by tensor cores are exact (kernels/cuda/bench/carriers.h).
int check_carriers(const Options& options, const Gpus& gpus, Report& report);

// The most that the device can do (kernels/cuda/bench/ceilings.h).
int measure_ceilings(const Options& options, const Gpus& gpus, Report& report);

// The ops at the shapes of models of 8B and 1.5B weights: time, GB/s of the bytes that an op must
// read and write, TOP/s of its products.
int measure_rates(const Options& options, const Gpus& gpus, Report& report);

// Compares the answers of whole nodes on the GPU with those of a node on the CPU, in processes of
// their own as well.
int check_models(const Options& options, Report& report);
// A case's text begins with "equal " or "wrong ".
int run_model_cells(const Options& options, const Gpus& gpus);

// Two ranks over NCCL, as processes or threads.
int check_nccl(const Options& options, const Gpus& gpus, Report& report);
// One of the processes. Prints "step MS WHAT" after each step, and at the end what went wrong.
int run_nccl_rank(const Options& options, const Gpus& gpus);

}  // namespace lockstep::gpu_check
