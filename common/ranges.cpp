#include "common/ranges.h"

#include "common/log.h"

namespace lockstep {

std::string to_string(const IntegerRange& range) {
  const IntegerRange all;
  if (range.low == all.low && range.high == all.high) return "a 64-bit integer";
  if (range.high == all.high) return str("an integer of at least ", range.low);
  return str("an integer from ", range.low, " to ", range.high);
}

std::string to_string(const NumberRange& range) {
  const bool has_low = range.low > -kNoLimit;
  const bool has_high = range.high < kNoLimit;
  if (!has_low && !has_high) return "a finite number";
  if (!has_high) return str("a finite number of at least ", range.low);
  return str("a number from ", range.low, " to ", range.high);
}

}  // namespace lockstep
