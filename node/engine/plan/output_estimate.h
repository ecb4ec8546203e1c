// OutputEstimate: how long an answer is likely to be: the third quartile of a tenant's last ones.
// Only for how many blocks are reserved at first; never for what an answer may become. Engine
// thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lockstep {

class OutputEstimate {
 public:
  static constexpr int32_t kUnknown = 256;  // tokens; before there is an answer

  void add(int32_t n_outputs);
  int32_t tokens() const { return estimate_; }

 private:
  std::array<int32_t, 64> last_{};  // a ring
  size_t n_added_ = 0;
  int32_t estimate_ = kUnknown;
};

}  // namespace lockstep
