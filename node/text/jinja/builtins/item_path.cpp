#include "node/text/jinja/builtins/item_path.h"

#include <algorithm>

#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/letter_case.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {

Result<ItemPath> ItemPath::make(const Runtime& runtime, const Value& attribute, Value fallback) {
  ItemPath path;
  path.fallback_ = std::move(fallback);
  if (attribute.is_absent()) return path;
  if (attribute.is_integral()) {
    path.parts_.push_back(attribute);
    return path;
  }
  if (!attribute.is_string()) return runtime.fail("an attribute is named by a string");
  for (const std::string_view part : split(attribute.as_string(), ".", -1)) {
    const bool is_index =
        !part.empty() && part.size() < 10 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    path.parts_.push_back(is_index ? Value::integer(std::stoi(std::string(part)))
                                   : Value::own_string(std::string(part)));
  }
  return path;
}

Result<Value> ItemPath::of(Runtime& runtime, Value item) const {
  for (const Value& part : parts_) {
    TRY(item, get_item(runtime, item, part));
    if (item.is_undefined() && !fallback_.is_undefined()) item = fallback_;
  }
  return item;
}

Result<Value> comparison_key(Runtime& runtime, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  return runtime.string(lower(value.as_text()));
}

}  // namespace lockstep::jinja
