#include "node/text/jinja/builtins/runtime.h"

#include <algorithm>

#include "node/text/jinja/values/nesting.h"

namespace lockstep::jinja {
namespace {

// Whether a value refers to other values and can change. Inside a container such a value could come
// to contain itself.
bool is_mutable(const Value& value) { return value.is(Kind::kNamespace) || value.is(Kind::kLoop); }

}  // namespace

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
  for (const Value& item : items) {
    if (is_mutable(item)) return fail(std::string(kind_name(item)) + "s cannot be put into a list");
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
    if (is_mutable(value)) {
      return fail(std::string(kind_name(value)) + "s cannot be put into a dict");
    }
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
  // The weight is the cost of a walk through the items, not their memory, which may be shared.
  if (container.weight_bytes() > kMaxBytes) return fail("a list or dict is too large");
  return container;
}

Error Runtime::fail(std::string message) const {
  return Error{ErrorCode::kInvalidRequest,
               "chat template, line " + std::to_string(line_) + ": " + std::move(message),
               "messages"};
}

}  // namespace lockstep::jinja
