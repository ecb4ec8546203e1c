// Worst: the largest of the values seen. Once a value was NaN, the result stays NaN, so that every
// bound fails. (std::max would ignore the NaN, and a broken engine would appear exact.)
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
