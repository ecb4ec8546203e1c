// StridedSum: the strided sum of docs/numerics.md section 0: value i is added to lane i mod 32, in
// ascending order; the 32 lanes are added in the tree of neighbours.
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
