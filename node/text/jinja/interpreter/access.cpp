// Subscripts, attributes and slices, and the values that a loop iterates over.
#include <algorithm>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/syntax/ast.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

// A Python index into n things; -1 = outside.
int64_t resolve_index(int64_t index, size_t n) {
  const auto size = static_cast<int64_t>(n);
  if (index < -size || index >= size) return -1;
  return index < 0 ? index + size : index;
}

Result<Value> get_character(Runtime& runtime, const Value& object, const Value& index) {
  TRY([[maybe_unused]] const Ok paid, runtime.work(object.weight_bytes()));
  std::string_view text = object.as_string();
  const int64_t at = resolve_index(index.as_int(), count_chars(text));
  if (at < 0) return Value::undefined("character " + std::to_string(index.as_int()));
  text.remove_prefix(prefix_bytes(text, static_cast<size_t>(at)));
  return Value::string(object.as_text().part(text.substr(0, char_bytes(text))), object.is_safe());
}

// Begin and end of a slice of n items, as in CPython's PySlice_AdjustIndices.
struct SliceRange {
  int64_t at, end, stride;

  SliceRange(size_t n_items, const Value& start, const Value& stop, const Value& step)
      : stride(step.is_integral() ? step.as_int() : 1) {
    const auto n = static_cast<int64_t>(n_items);
    const bool back = stride < 0;
    const int64_t low = back ? -1 : 0, high = back ? n - 1 : n;
    const auto clamp = [&](const Value& bound, int64_t fallback) {
      if (!bound.is_integral()) return fallback;
      const int64_t index = bound.as_int();
      return index < -n ? low : std::clamp(index < 0 ? index + n : index, low, high);
    };
    at = clamp(start, back ? high : low);
    end = clamp(stop, back ? low : high);
  }

  std::vector<size_t> indices() const {
    std::vector<size_t> out;
    for (int64_t i = at; stride < 0 ? i > end : i < end;) {
      out.push_back(static_cast<size_t>(i));
      if (__builtin_add_overflow(i, stride, &i)) break;
    }
    return out;
  }
};

Result<Value> slice_string(Runtime& runtime, const Value& object, const Value& start,
                           const Value& stop, const Value& step) {
  std::string_view text = object.as_string();
  const SliceRange range(count_chars(text), start, stop, step);
  if (range.stride == 1) {
    if (range.at >= range.end) return runtime.string({}, object.is_safe());
    text.remove_prefix(prefix_bytes(text, static_cast<size_t>(range.at)));
    const size_t n = prefix_bytes(text, static_cast<size_t>(range.end - range.at));
    return runtime.string(object.as_text().part(text.substr(0, n)), object.is_safe());
  }
  TRY([[maybe_unused]] const Ok paid, runtime.make(text.size() * sizeof(std::string_view)));
  const std::vector<std::string_view> chars = chars_of(text);
  MarkedText picked;
  for (const size_t at : range.indices()) picked.append_part(object.as_text(), chars[at]);
  return runtime.string(std::move(picked), object.is_safe());
}

Value attribute_of_loop(const Loop& loop, std::string_view name) {
  const auto n = static_cast<int64_t>(loop.items->items.size());
  const auto at = static_cast<int64_t>(loop.index0);
  if (name == "index0") return Value::integer(at);
  if (name == "index") return Value::integer(at + 1);
  if (name == "first") return Value::boolean(at == 0);
  if (name == "last") return Value::boolean(at + 1 == n);
  if (name == "length") return Value::integer(n);
  if (name == "revindex") return Value::integer(n - at);
  if (name == "revindex0") return Value::integer(n - at - 1);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem" && at > 0) return loop.items->items[loop.index0 - 1];
  if (name == "nextitem" && at + 1 < n) return loop.items->items[loop.index0 + 1];
  return Value::undefined("loop." + std::string(name));
}

// The attributes of a macro, those of jinja2's Macro objects.
Value attribute_of_macro(const Macro& macro, std::string_view name) {
  if (name == "name") return Value::own_string(macro.name);
  if (name == "catch_kwargs") return Value::boolean(macro.uses_kwargs);
  if (name == "catch_varargs") return Value::boolean(macro.uses_varargs);
  if (name == "caller") return Value::boolean(macro.uses_caller);
  if (name != "arguments") return Value::undefined(std::string(name));
  std::vector<Value> names;
  names.reserve(macro.parameters.size());
  for (const Macro::Parameter& parameter : macro.parameters) {
    names.push_back(Value::own_string(parameter.name));
  }
  return Value::list(std::move(names), true);
}

}  // namespace

Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) {
    return runtime.fail(object.undefined_name() + " is undefined, so it has no ." +
                        std::string(name));
  }
  if (const auto method = find_method(object, name)) return Value::function({*method, nullptr});
  if (object.is_dict()) {
    TRY([[maybe_unused]] const Ok paid, runtime.work(object.as_dict().items.size() * 16));
    if (const Value* found = object.as_dict().find(name)) return *found;
  }
  if (object.is(Kind::kNamespace)) {
    const auto& fields = object.as_namespace().fields;
    const auto found = fields.find(name);
    if (found != fields.end()) return found->second;
  }
  if (object.is(Kind::kLoop)) return attribute_of_loop(object.as_loop(), name);
  if (object.is_list() && object.as_list().is_group && (name == "grouper" || name == "list")) {
    return object.as_list().items[name == "list" ? 1 : 0];
  }
  if (object.is(Kind::kFunction) && object.as_function().macro != nullptr) {
    return attribute_of_macro(*object.as_function().macro, name);
  }
  return Value::undefined(std::string(name));
}

Result<Value> get_item(Runtime& runtime, const Value& object, const Value& index) {
  if (object.is_undefined()) {
    return runtime.fail(object.undefined_name() + " is undefined, so it has no items");
  }
  if (object.is_dict()) {
    TRY([[maybe_unused]] const Ok paid, runtime.work(object.as_dict().items.size() * 16));
    if (const Value* found = object.as_dict().find(index)) return *found;
  }
  if (object.is_list() && index.is_integral()) {
    const auto& items = object.as_list().items;
    const int64_t at = resolve_index(index.as_int(), items.size());
    return at < 0 ? Value::undefined("item " + std::to_string(index.as_int()))
                  : items[static_cast<size_t>(at)];
  }
  if (object.is_string() && index.is_integral()) return get_character(runtime, object, index);
  if (index.is_string()) return get_attribute(runtime, object, index.as_string());
  return Value::undefined("an item");
}

Result<Value> get_slice(Runtime& runtime, const Value& object, const Value& start,
                        const Value& stop, const Value& step) {
  if (object.is_undefined()) {
    return runtime.fail(object.undefined_name() + " is undefined and cannot be sliced");
  }
  bool fits = object.is_list() || object.is_string();
  for (const Value* bound : {&start, &stop, &step}) {
    fits = fits && (bound->is_integral() || bound->is_absent());
  }
  if (!fits) return Value::undefined("a slice");
  if (step.is_integral() && step.as_int() == 0) {
    return runtime.fail("the step of a slice cannot be zero");
  }
  TRY([[maybe_unused]] const Ok paid, runtime.work(object.weight_bytes()));
  if (object.is_string()) return slice_string(runtime, object, start, stop, step);
  const auto& items = object.as_list().items;
  std::vector<Value> picked;
  for (const size_t at : SliceRange(items.size(), start, stop, step).indices()) {
    picked.push_back(items[at]);
  }
  return runtime.list(std::move(picked), object.as_list().is_tuple);
}

Result<std::shared_ptr<const List>> iterate(Runtime& runtime, const Value& value) {
  if (value.is_list()) return value.list_ref();
  std::vector<Value> items;
  if (value.is_dict()) {
    for (const auto& [key, item] : value.as_dict().items) items.push_back(key);
  } else if (value.is_string()) {
    TRY([[maybe_unused]] const Ok paid, runtime.make(value.as_string().size() * sizeof(Value) * 2));
    for (const std::string_view character : chars_of(value.as_string())) {
      items.push_back(Value::string(value.as_text().part(character)));
    }
  } else if (!value.is_undefined()) {
    return runtime.fail("a " + std::string(kind_name(value)) + " has no items to go through");
  }
  TRY(const Value list, runtime.list(std::move(items)));
  return list.list_ref();
}

}  // namespace lockstep::jinja
