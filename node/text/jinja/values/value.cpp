#include "node/text/jinja/values/value.h"

#include <algorithm>
#include <array>

namespace lockstep::jinja {
namespace {

constexpr uint64_t kContainerBytes = 64;  // weight of an empty container
constexpr uint64_t kScalarBytes = 32;

Order order_of(bool less, bool greater) {
  return less ? Order::kLess : greater ? Order::kGreater : Order::kEqual;
}

Order compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return order_of(a.as_int() < b.as_int(), a.as_int() > b.as_int());
  }
  if (a.as_real() != a.as_real() || b.as_real() != b.as_real()) return Order::kNone;
  return order_of(a.as_real() < b.as_real(), a.as_real() > b.as_real());
}

Order compare_lists(const List& a, const List& b) {
  for (size_t i = 0; i < std::min(a.items.size(), b.items.size()); ++i) {
    if (!equal(a.items[i], b.items[i])) return compare(a.items[i], b.items[i]);
  }
  return order_of(a.items.size() < b.items.size(), a.items.size() > b.items.size());
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  return std::all_of(a.items.begin(), a.items.end(), [&b](const auto& item) {
    const Value* other = b.find(item.first);
    return other != nullptr && equal(item.second, *other);
  });
}

}  // namespace

const Value* Dict::find(const Value& key) const {
  for (const auto& [k, v] : items) {
    if (equal(k, key)) return &v;
  }
  return nullptr;
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [k, v] : items) {
    if (k.is_string() && k.as_string() == key) return &v;
  }
  return nullptr;
}

Value Value::undefined(std::string name) {
  return Value(Undefined{std::make_shared<const std::string>(std::move(name))});
}

Value Value::string(MarkedText text, bool is_safe) {
  return Value(std::make_shared<const String>(String{std::move(text), is_safe}));
}

Value Value::list(std::vector<Value> items, bool is_tuple) {
  auto list = std::make_shared<List>();
  list->is_tuple = is_tuple;
  list->weight_bytes = kContainerBytes;
  for (const Value& item : items) {
    list->depth = std::max(list->depth, item.depth() + 1);
    list->weight_bytes += item.weight_bytes();
  }
  list->items = std::move(items);
  return Value(std::shared_ptr<const List>(std::move(list)));
}

Value Value::group(Value grouper, Value list) {
  Value pair = Value::list({std::move(grouper), std::move(list)}, true);
  auto group = std::make_shared<List>(pair.as_list());
  group->is_group = true;
  return Value(std::shared_ptr<const List>(std::move(group)));
}

Value Value::dict(std::vector<std::pair<Value, Value>> items) {
  auto dict = std::make_shared<Dict>();
  dict->weight_bytes = kContainerBytes;
  for (const auto& [key, value] : items) {
    dict->depth = std::max({dict->depth, key.depth() + 1, value.depth() + 1});
    dict->weight_bytes += key.weight_bytes() + value.weight_bytes();
  }
  dict->items = std::move(items);
  return Value(std::shared_ptr<const Dict>(std::move(dict)));
}

int64_t Value::as_int() const {
  return is(Kind::kBool) ? static_cast<int64_t>(std::get<bool>(storage_))
                         : std::get<int64_t>(storage_);
}

double Value::as_real() const {
  return is(Kind::kFloat) ? std::get<double>(storage_) : static_cast<double>(as_int());
}

std::string Value::undefined_name() const {
  const auto& name = std::get<Undefined>(storage_).name;
  return name == nullptr ? "the value" : "'" + *name + "'";
}

bool Value::truthy() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return as_int() != 0;
    case Kind::kFloat:
      return as_real() != 0;
    case Kind::kString:
      return !as_string().empty();
    case Kind::kList:
      return !as_list().items.empty();
    case Kind::kDict:
      return !as_dict().items.empty();
    case Kind::kNamespace:
    case Kind::kLoop:
    case Kind::kFunction:
      return true;
  }
  return false;
}

uint32_t Value::depth() const {
  if (is_list()) return as_list().depth;
  return is_dict() ? as_dict().depth : 0;
}

uint64_t Value::weight_bytes() const {
  switch (kind()) {
    case Kind::kString:
      return kScalarBytes + as_text().held_bytes();
    case Kind::kList:
      return as_list().weight_bytes;
    case Kind::kDict:
      return as_dict().weight_bytes;
    default:
      return kScalarBytes;
  }
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == Order::kEqual;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
      return a.as_string() == b.as_string();
    case Kind::kList: {
      const List &x = a.as_list(), &y = b.as_list();
      return x.is_tuple == y.is_tuple &&
             std::equal(x.items.begin(), x.items.end(), y.items.begin(), y.items.end(), equal);
    }
    case Kind::kDict:
      return equal_dicts(a.as_dict(), b.as_dict());
    case Kind::kNamespace:
      return &a.as_namespace() == &b.as_namespace();
    case Kind::kLoop:
      return &a.as_loop() == &b.as_loop();
    case Kind::kFunction:
      return a.as_function().name == b.as_function().name;
    default:
      return true;  // two undefined, two none
  }
}

bool same(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is_list()) return &a.as_list() == &b.as_list();
  if (a.is_dict()) return &a.as_dict() == &b.as_dict();
  return equal(a, b);
}

Order compare(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is_string() && b.is_string()) {
    const int order =
        a.as_string().compare(b.as_string());  // UTF-8 has the order of its code points
    return order_of(order<0, order> 0);
  }
  if (a.is_list() && b.is_list() && a.as_list().is_tuple == b.as_list().is_tuple) {
    return compare_lists(a.as_list(), b.as_list());
  }
  return Order::kNone;
}

std::string_view kind_name(const Value& value) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "undefined", "none", "boolean",   "integer", "float",   "string",
      "list",      "dict", "namespace", "loop",    "function"};
  return kNames[static_cast<size_t>(value.kind())];
}

}  // namespace lockstep::jinja
