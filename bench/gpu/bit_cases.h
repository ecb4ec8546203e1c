// The cases that a back end with its own kernels must pass: each runs an op on data of odd sizes,
// and the outputs must have the bits of kernels/reference. tests/cuda_emulation runs them on the
// CPU, deploy/gpu_check.sh on a GPU.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/gpu/side.h"

namespace lockstep::gpu_check {

struct BitCase {
  std::string op;    // "add_rms_norm"
  std::string what;  // "dim 576, 5 tokens, 3 nodes"
  std::function<std::vector<Output>(Side&)> run;
};

enum class Sizes {
  kSmall,  // cases that take milliseconds each on an emulated device
  kLarge,  // in addition, cases with the shapes of real models
};
std::vector<BitCase> embed_cases(Sizes sizes);
std::vector<BitCase> norm_cases(Sizes sizes);
std::vector<BitCase> row_cases(Sizes sizes);
std::vector<BitCase> linear_cases(Sizes sizes);
std::vector<BitCase> rope_cases(Sizes sizes);
std::vector<BitCase> attention_cases(Sizes sizes);
std::vector<BitCase> sample_cases(Sizes sizes);
std::vector<BitCase> all_bit_cases(Sizes sizes);

}  // namespace lockstep::gpu_check
