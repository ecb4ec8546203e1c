// JSON as Python's json.dumps() writes it. Pure; any thread. The caller has seen to it that the
// value is small enough (Value::weight_bytes).
#pragma once

#include <optional>

#include "node/text/jinja/values/value.h"

namespace lockstep::jinja {

struct JsonStyle {
  std::optional<MarkedText> indent;  // of one level; absent = one line
  std::optional<MarkedText> item_separator, key_separator;
  bool sort_keys = false;
  bool ensure_ascii = false;
};

// Appends `value`; false if it is or holds what JSON cannot say (undefined, a namespace, …), or
// keys that are to be sorted and cannot be.
bool append_json(const Value& value, const JsonStyle& style, MarkedText& out);

}  // namespace lockstep::jinja
