// Worst: the largest of the values seen, and NaN for good once one was NaN, so that no bound holds
// (std::max keeps the number beside a NaN, and a broken engine would look exact).
#pragma once

#include <cmath>

namespace lockstep::testing {

class Worst {
 public:
  void add(double value) {
    if (!std::isnan(value_) && !(value <= value_)) value_ = value;
  }
  double value() const { return value_; }

 private:
  double value_ = 0;
};

}  // namespace lockstep::testing
