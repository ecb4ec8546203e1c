// Paths into items, as in map(attribute="a.b.0") and similar filters.
#pragma once

#include <vector>

#include "node/text/jinja/builtins/runtime.h"

namespace lockstep::jinja {

class ItemPath {
 public:
  ItemPath() = default;  // the item itself
  // `attribute` is "a.b.0" or an index; undefined and none mean the item itself. If a part of the
  // path is missing, the result is `fallback`, unless that is undefined.
  static Result<ItemPath> make(const Runtime& runtime, const Value& attribute, Value fallback = {});

  Result<Value> of(Runtime& runtime, Value item) const;

 private:
  std::vector<Value> parts_;
  Value fallback_;
};

// The value by which an item is compared: strings in lower case unless `case_sensitive`.
Result<Value> comparison_key(Runtime& runtime, const Value& value, bool case_sensitive);

}  // namespace lockstep::jinja
