// StridedSum: the sum of docs/numerics.md section 0 over many values: value i joins lane i mod 32,
// ascending; the 32 lanes meet in the tree of neighbours.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/reference/neighbours.h"

namespace lockstep::reference {

class StridedSum {
 public:
  float& lane(int64_t i) { return lanes_[static_cast<size_t>(i % 32)]; }

  float total() const {
    std::array<float, 32> lanes = lanes_;
    return sum_neighbours(lanes);
  }

 private:
  std::array<float, 32> lanes_{};
};

}  // namespace lockstep::reference
