#include "common/sampling_ranges.h"

#include "common/log.h"

namespace lockstep {
namespace {

template <class Value, class Range>
Status check(const std::string& field, Value value, const Range& range) {
  if (range.holds(value)) return Ok{};
  return Error{ErrorCode::kInvalidRequest,
               str(field, " must be ", to_string(range), ", got ", value), field};
}

}  // namespace

Status check_range(const std::string& field, double value, const NumberRange& range) {
  return check(field, value, range);
}
Status check_range(const std::string& field, int64_t value, const IntegerRange& range) {
  return check(field, value, range);
}

}  // namespace lockstep
