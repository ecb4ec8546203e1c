#include "node/text/jinja/runtime.h"

#include <algorithm>

#include "node/text/jinja/nesting.h"

namespace lockstep::jinja {

Status Runtime::spend(uint64_t n_steps) {
  n_steps_ += n_steps;
  if (n_steps_ > kMaxSteps) {
    return fail("the template runs for more than " + std::to_string(kMaxSteps) + " steps");
  }
  return Ok{};
}

Status Runtime::make(uint64_t n_bytes) {
  if (n_bytes > kMaxBytes - n_bytes_) {
    return fail("the template makes more than " + std::to_string(kMaxBytes) + " bytes of text");
  }
  n_bytes_ += n_bytes;
  return spend(n_bytes / kBytesPerStep);
}

Result<Value> Runtime::string(MarkedText text, bool is_safe) {
  TRY([[maybe_unused]] const Ok paid, make(text.held_bytes() + sizeof(Value)));
  return Value::string(std::move(text), is_safe);
}

Result<Value> Runtime::list(std::vector<Value> items, bool is_tuple) {
  TRY([[maybe_unused]] const Ok paid, make(items.size() * sizeof(Value) + sizeof(List)));
  const auto is_namespace = [](const Value& item) { return item.is(Kind::kNamespace); };
  if (std::any_of(items.begin(), items.end(), is_namespace)) {
    return fail("a namespace cannot be put into a list");
  }
  return check_container(Value::list(std::move(items), is_tuple));
}

Result<Value> Runtime::group(Value grouper, std::vector<Value> items) {
  TRY(Value rows, list(std::move(items)));
  TRY([[maybe_unused]] const Ok paid, make(2 * sizeof(Value) + sizeof(List)));
  return check_container(Value::group(std::move(grouper), std::move(rows)));
}

Result<Value> Runtime::dict(std::vector<std::pair<Value, Value>> items) {
  TRY([[maybe_unused]] const Ok paid, make(items.size() * 2 * sizeof(Value) + sizeof(Dict)));
  for (const auto& [key, value] : items) {
    if (value.is(Kind::kNamespace)) return fail("a namespace cannot be put into a dict");
    if (!key.is_string() && !key.is_number() && !key.is(Kind::kNone)) {
      return fail("a " + std::string(kind_name(key)) + " cannot be the key of a dict");
    }
  }
  return check_container(Value::dict(std::move(items)));
}

Result<Value> Runtime::check_container(Value container) const {
  if (container.depth() > static_cast<uint32_t>(kMaxContainerDepth)) {
    return fail("lists or dicts are nested deeper than " + std::to_string(kMaxContainerDepth));
  }
  // Not what it holds, which may be shared, but what walking through it would cost.
  if (container.weight_bytes() > kMaxBytes) return fail("a list or dict is too large");
  return container;
}

Error Runtime::fail(std::string message) const {
  return Error{ErrorCode::kInvalidRequest,
               "chat template, line " + std::to_string(line_) + ": " + std::move(message),
               "messages"};
}

}  // namespace lockstep::jinja
