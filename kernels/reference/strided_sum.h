// StridedSum: the strided sum of docs/numerics.md section 0: in each chunk of 1024 values, value i
// is added to lane i mod 32, in ascending order, and the 32 lanes are added in the tree of
// neighbours. The sums of the chunks are added in a tree of neighbours as well.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/reference/neighbours.h"

namespace lockstep::reference {

class StridedSum {
 public:
  // The lane of value i. Calls have ascending i.
  float& lane(int64_t i) {
    while (i / kChunk > static_cast<int64_t>(sums_.size())) {
      sums_.push_back(sum_neighbours(lanes_));
      lanes_ = {};
    }
    return lanes_[static_cast<size_t>(i % 32)];
  }

  float total() const {
    std::array<float, 32> lanes = lanes_;
    std::vector<float> sums = sums_;
    sums.push_back(sum_neighbours(lanes));
    return sum_neighbours(sums);
  }

 private:
  static constexpr int64_t kChunk = 1024;

  std::array<float, 32> lanes_{};  // of the chunk that the last value is in
  std::vector<float> sums_;        // of the chunks before it
};

}  // namespace lockstep::reference
