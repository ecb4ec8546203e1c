#include "node/engine/plan/output_estimate.h"

#include <algorithm>

namespace lockstep {

void OutputEstimate::add(int32_t n_outputs) {
  last_[n_added_++ % last_.size()] = n_outputs;
  std::array<int32_t, 64> sorted = last_;
  const size_t n = std::min(n_added_, sorted.size());
  const auto quartile = sorted.begin() + static_cast<std::ptrdiff_t>((n - 1) * 3 / 4);
  std::nth_element(sorted.begin(), quartile, sorted.begin() + static_cast<std::ptrdiff_t>(n));
  estimate_ = *quartile;
}

}  // namespace lockstep
