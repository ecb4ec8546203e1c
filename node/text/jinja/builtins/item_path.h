// Paths into items, as map(attribute="a.b.0") and its like take them.
#pragma once

#include <vector>

#include "node/text/jinja/builtins/runtime.h"

namespace lockstep::jinja {

class ItemPath {
 public:
  ItemPath() = default;  // the item itself
  // "a.b.0", or an index; undefined and none = the item itself. Where a part is missing, `fallback`
  // stands in unless it is undefined.
  static Result<ItemPath> make(const Runtime& runtime, const Value& attribute, Value fallback = {});

  Result<Value> of(Runtime& runtime, Value item) const;

 private:
  std::vector<Value> parts_;
  Value fallback_;
};

// What an item is compared by: strings in lower case unless `case_sensitive`.
Result<Value> comparison_key(Runtime& runtime, const Value& value, bool case_sensitive);

}  // namespace lockstep::jinja
