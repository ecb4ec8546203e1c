#include "common/log.h"
#include "wire/codec/scan.h"

namespace lockstep::wire {

// Counts brackets, commas and colons outside strings; the parser checks whether they match. A
// container of k items has k - 1 commas, and an object has a colon for each key, so the sum of
// commas, colons and containers bounds the number of values, keys included.
Status scan_json(std::string_view text, const ScanLimits& limits) {
  int depth = 0;
  size_t n_values = 1;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > limits.max_depth) {
        return Error{ErrorCode::kInvalidRequest,
                     str("JSON nested deeper than ", limits.max_depth, " at byte ", i), ""};
      }
      ++n_values;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',' || c == ':') {
      ++n_values;
    }
    if (n_values > limits.max_values) {
      return Error{ErrorCode::kInvalidRequest,
                   str("JSON of more than ", limits.max_values,
                       " values (keys, items, objects, lists) at byte ", i, " of ", text.size()),
                   ""};
    }
  }
  return Ok{};
}

}  // namespace lockstep::wire
