// OutputEstimate: the likely output length of a tenant's requests: the third quartile of its last
// 64 outputs. It only decides how many blocks are reserved at admission, and never limits an
// output. Engine thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lockstep {

class OutputEstimate {
 public:
  static constexpr int32_t kUnknown = 256;  // tokens; the estimate before the first output

  void add(int32_t n_outputs);
  int32_t tokens() const { return estimate_; }

 private:
  std::array<int32_t, 64> last_{};  // ring buffer
  size_t n_added_ = 0;
  int32_t estimate_ = kUnknown;
};

}  // namespace lockstep
