#include "common/log.h"
#include "wire/codec.h"

namespace lockstep::wire {

// Counts brackets outside strings; whether they match is the parser's business.
Status check_json_depth(std::string_view text, int max_depth) {
  int depth = 0;
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
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return Ok{};
}

}  // namespace lockstep::wire
