// Values as text: Python's str() and repr(), and JSON as json.dumps() writes it. Pure; any thread.
// The caller has seen to it that the value is small enough (Value::weight_bytes).
#pragma once

#include <optional>
#include <string>

#include "node/text/jinja_value.h"

namespace lockstep::jinja {

struct JsonStyle {
  std::optional<int64_t> indent;  // absent = one line
  bool sort_keys = false;
  bool ensure_ascii = false;
};

// Appends `value`; false if it is or holds what JSON cannot say (undefined, a namespace, …).
bool append_json(const Value& value, const JsonStyle& style, std::string& out);

std::string real_to_text(double value);

}  // namespace lockstep::jinja
