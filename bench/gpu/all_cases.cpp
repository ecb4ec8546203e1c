#include "bench/gpu/bit_cases.h"

namespace lockstep::gpu_check {

std::vector<BitCase> all_bit_cases(Sizes sizes) {
  std::vector<BitCase> all;
  for (auto* cases : {embed_cases, norm_cases, row_cases, linear_cases, rope_cases, attention_cases,
                      sample_cases}) {
    for (BitCase& c : cases(sizes)) all.push_back(std::move(c));
  }
  return all;
}

}  // namespace lockstep::gpu_check
