// JSON as Python's json.dumps() writes it. Pure; any thread. The caller must have checked that the
// value is small enough (Value::weight_bytes).
#pragma once

#include <optional>

#include "node/text/jinja/values/value.h"

namespace lockstep::jinja {

struct JsonStyle {
  std::optional<MarkedText> indent;  // indent of one level; absent = all on one line
  std::optional<MarkedText> item_separator, key_separator;
  bool sort_keys = false;
  bool ensure_ascii = false;
};

// Appends `value`. Returns false if the value is or contains something that JSON cannot express
// (undefined, a namespace, …), or has keys that should be sorted but have no order.
bool append_json(const Value& value, const JsonStyle& style, MarkedText& out);

}  // namespace lockstep::jinja
