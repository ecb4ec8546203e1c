// OutputEstimate: the likely output length of a tenant's requests: the third quartile of its last
// 64 outputs. It only decides how many blocks are reserved at admission, and never limits an
// output. Engine thread only.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace lockstep {

class OutputEstimate {
 public:
  static constexpr int32_t kUnknown = 256;  // tokens; the estimate before the first output

  void add(int32_t n_outputs) {
    last_[n_added_++ % last_.size()] = n_outputs;
    std::array<int32_t, 64> sorted = last_;
    const size_t n = std::min(n_added_, sorted.size());
    const auto quartile = sorted.begin() + static_cast<std::ptrdiff_t>((n - 1) * 3 / 4);
    std::nth_element(sorted.begin(), quartile, sorted.begin() + static_cast<std::ptrdiff_t>(n));
    estimate_ = *quartile;
  }
  int32_t tokens() const { return estimate_; }

 private:
  std::array<int32_t, 64> last_{};  // ring buffer
  size_t n_added_ = 0;
  int32_t estimate_ = kUnknown;
};

}  // namespace lockstep
