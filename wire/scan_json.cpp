#include "common/log.h"
#include "wire/codec.h"

namespace lockstep::wire {

// Counts brackets and commas outside strings; whether they match is the parser's business. A
// container of k values has k - 1 commas, so commas and containers together bound the values.
Status check_json_depth(std::string_view text, int max_depth, size_t max_values) {
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
      if (++depth > max_depth) {
        return Error{ErrorCode::kInvalidRequest,
                     str("JSON nested deeper than ", max_depth, " at byte ", i), ""};
      }
      ++n_values;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',') {
      ++n_values;
    }
    if (n_values > max_values) {
      return Error{ErrorCode::kInvalidRequest,
                   str("JSON of more than ", max_values, " values at byte ", i), ""};
    }
  }
  return Ok{};
}

}  // namespace lockstep::wire
