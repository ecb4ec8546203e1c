// Ranges of numbers, with a description for error messages. Plain data; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace lockstep {

// A bound that counts as no limit; it is finite as a float.
inline constexpr double kNoLimit = 1e30;

struct IntegerRange {
  int64_t low = std::numeric_limits<int64_t>::min();
  int64_t high = std::numeric_limits<int64_t>::max();

  constexpr bool holds(int64_t value) const { return value >= low && value <= high; }
};

struct NumberRange {
  double low = -kNoLimit;
  double high = kNoLimit;

  // Returns false for NaN.
  constexpr bool holds(double value) const { return value >= low && value <= high; }
};

std::string to_string(const IntegerRange& range);  // "an integer from 1 to 128"
std::string to_string(const NumberRange& range);   // "a finite number of at least 0"

}  // namespace lockstep
