#include "node/text/jinja/builtins/builtins.h"

#include <algorithm>
#include <array>

#include "node/text/jinja/builtins/html.h"
#include "node/text/jinja/builtins/operators.h"

namespace lockstep::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as in Jinja's sandbox

uint64_t weight_of(const Value& self, const CallArgs& args) {
  uint64_t n_bytes = self.weight_bytes();
  for (const Value& value : args.positional) n_bytes += value.weight_bytes();
  for (const auto& [name, value] : args.named) n_bytes += value.weight_bytes();
  return n_bytes;
}

// ---- methods of dicts

Result<Value> dict_items(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  std::vector<Value> items;
  for (const auto& [key, value] : self.as_dict().items) {
    TRY(Value pair, runtime.list({key, value}, true));
    items.push_back(std::move(pair));
  }
  return runtime.list(std::move(items));
}

Result<Value> dict_keys(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  std::vector<Value> keys;
  for (const auto& [key, value] : self.as_dict().items) keys.push_back(key);
  return runtime.list(std::move(keys));
}

Result<Value> dict_values(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  std::vector<Value> values;
  for (const auto& [key, value] : self.as_dict().items) values.push_back(value);
  return runtime.list(std::move(values));
}

Result<Value> dict_get(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"key", "default"}, 1));
  if (!args.named.empty()) return runtime.fail("get() takes no named arguments");
  if (const Value* found = self.as_dict().find(bound[0])) return *found;
  const bool has_default = args.positional.size() > 1;
  return has_default ? bound[1] : Value::none();
}

Result<Value> dict_copy(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  return self;
}

// ---- methods of lists

Result<Value> list_index(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"value"}, 1));
  const auto& items = self.as_list().items;
  const auto found = std::find_if(items.begin(), items.end(),
                                  [&](const Value& item) { return equal(item, bound[0]); });
  if (found == items.end()) return runtime.fail("index(): the list does not hold the value");
  return Value::integer(found - items.begin());
}

Result<Value> list_count(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"value"}, 1));
  const auto& items = self.as_list().items;
  return Value::integer(std::count_if(items.begin(), items.end(),
                                      [&](const Value& item) { return equal(item, bound[0]); }));
}

// ---- methods of loops

Result<Value> loop_cycle(Runtime& runtime, const Value& self, const CallArgs& args) {
  if (args.positional.empty()) return runtime.fail("cycle() needs something to cycle through");
  return args.positional[self.as_loop().index0 % args.positional.size()];
}

// loop.changed(): whether the values differ from those of the last call.
Result<Value> loop_changed(Runtime& runtime, const Value& self, const CallArgs& args) {
  if (!args.named.empty()) return runtime.fail("changed() takes no named arguments");
  TRY(const Value now, runtime.list(args.positional, true));
  Loop& loop = self.as_loop();
  const auto before = std::exchange(loop.changed, now.list_ref());
  return Value::boolean(before == nullptr ||
                        !std::equal(before->items.begin(), before->items.end(),
                                    now.as_list().items.begin(), now.as_list().items.end(), equal));
}

constexpr std::array<NamedBuiltin, 5> kDictMethods = {{
    {"items", dict_items},
    {"keys", dict_keys},
    {"values", dict_values},
    {"get", dict_get},
    {"copy", dict_copy},
}};
constexpr std::array<NamedBuiltin, 2> kListMethods = {
    {{"index", list_index}, {"count", list_count}}};
constexpr std::array<NamedBuiltin, 2> kLoopMethods = {
    {{"cycle", loop_cycle}, {"changed", loop_changed}}};

const NamedBuiltin* method_of(const Value& object, std::string_view name) {
  if (object.is_string()) {
    const NamedBuiltin* method = find_in(string_methods(), name);
    return method != nullptr ? method : find_in(string_query_methods(), name);
  }
  if (object.is_dict()) return find_in(kDictMethods, name);
  if (object.is_list()) return find_in(kListMethods, name);
  return object.is(Kind::kLoop) ? find_in(kLoopMethods, name) : nullptr;
}

// ---- global functions

Result<Value> range(Runtime& runtime, const Value&, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"start", "stop", "step"}, 1));
  const auto is_integral = [](const Value& value) { return value.is_integral(); };
  const std::vector<Value>& given = args.positional;
  if (!args.named.empty() || !std::all_of(given.begin(), given.end(), is_integral)) {
    return runtime.fail("range() takes integers");
  }
  const bool one = given.size() == 1;
  const int64_t start = one ? 0 : bound[0].as_int();
  const int64_t stop = one ? bound[0].as_int() : bound[1].as_int();
  const int64_t step = given.size() < 3 ? 1 : bound[2].as_int();
  if (step == 0) return runtime.fail("the step of range() cannot be zero");
  std::vector<Value> numbers;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (numbers.size() == kMaxRange) {
      return runtime.fail("range() is longer than " + std::to_string(kMaxRange));
    }
    numbers.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return runtime.list(std::move(numbers));
}

Result<Value> new_dict(Runtime& runtime, const Value&, const CallArgs& args) {
  std::vector<std::pair<Value, Value>> items;
  const auto set = [&](const Value& key, const Value& value) -> Status {
    TRY([[maybe_unused]] const Ok paid, runtime.work(items.size() * 16));
    const auto found = std::find_if(items.begin(), items.end(),
                                    [&](const auto& item) { return equal(item.first, key); });
    if (found != items.end()) {
      found->second = value;
    } else {
      items.emplace_back(key, value);
    }
    return Ok{};
  };
  if (args.positional.size() > 1) return runtime.fail("dict() takes one dict and named values");
  if (!args.positional.empty() && args.positional[0].is_dict()) {
    items = args.positional[0].as_dict().items;
  } else if (!args.positional.empty()) {
    TRY(const auto pairs, iterate(runtime, args.positional[0]));
    for (const Value& item : pairs->items) {
      TRY(const auto pair, iterate(runtime, item));
      if (pair->items.size() != 2) return runtime.fail("dict() takes a dict or pairs");
      TRY([[maybe_unused]] const Ok done, set(pair->items[0], pair->items[1]));
    }
  }
  for (const auto& [name, value] : args.named) {
    TRY([[maybe_unused]] const Ok done, set(args.key_of(name), value));
  }
  return runtime.dict(std::move(items));
}

Result<Value> new_namespace(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const Value dict, new_dict(runtime, self, args));
  Value space = Value::new_namespace();
  for (const auto& [key, value] : dict.as_dict().items) {
    if (key.is_string()) space.as_namespace().fields[key.as_string()] = value;
  }
  return space;
}

Result<Value> raise_exception(Runtime& runtime, const Value&, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"message"}, 1));
  return Error{ErrorCode::kInvalidRequest,
               "the model's chat template refuses these messages: " + to_text(bound[0]).bytes(),
               "messages"};
}

constexpr std::array<NamedBuiltin, 4> kFunctions = {{
    {"range", range},
    {"dict", new_dict},
    {"namespace", new_namespace},
    {"raise_exception", raise_exception},
}};

}  // namespace

Result<std::vector<Value>> CallArgs::bind(const Runtime& runtime,
                                          std::initializer_list<std::string_view> names,
                                          size_t n_required) const {
  if (positional.size() > names.size()) {
    return runtime.fail("takes at most " + std::to_string(names.size()) + " arguments, got " +
                        std::to_string(positional.size()));
  }
  std::vector<Value> bound = positional;
  bound.resize(names.size());
  std::vector<bool> given(names.size(), false);
  std::fill_n(given.begin(), positional.size(), true);
  for (const auto& [name, value] : named) {
    const auto at =
        static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    if (at == names.size() || given[at]) {
      return runtime.fail("does not take an argument '" + std::string(name) + "' here");
    }
    bound[at] = value;
    given[at] = true;
  }
  for (size_t i = 0; i < n_required; ++i) {
    if (!given[i])
      return runtime.fail("lacks the argument '" + std::string(names.begin()[i]) + "'");
  }
  return bound;
}

namespace {

const NamedBuiltin* find_filter(std::string_view name) {
  for (const auto family : {string_filters(), wrapping_filters(), value_filters(), html_filters(),
                            sequence_filters(), order_filters()}) {
    if (const NamedBuiltin* found = find_in(family, name)) return found;
  }
  return nullptr;
}

// The filters that give a safe string for a safe string, because in Jinja they call a method of it.
constexpr std::array<std::string_view, 8> kFiltersThatKeepSafe = {
    "upper", "lower", "capitalize", "trim", "center", "reverse", "truncate", "indent"};

Value as_safe(const Value& value) {
  if (value.is_string()) return Value::string(value.as_text(), true);
  if (!value.is_list()) return value;
  std::vector<Value> items;
  for (const Value& item : value.as_list().items) items.push_back(as_safe(item));
  return Value::list(std::move(items), value.as_list().is_tuple);
}

// A method of a safe string gives safe strings and escapes the text that it inserts.
Result<Value> call_safe_method(Runtime& runtime, const NamedBuiltin& method, const Value& self,
                               CallArgs args) {
  const bool puts_in = method.name == "replace" || method.name == "center" ||
                       method.name == "ljust" || method.name == "rjust";
  for (size_t i = 1; puts_in && i < args.positional.size(); ++i) {
    if (!args.positional[i].is_string()) continue;
    TRY(args.positional[i], escape(runtime, args.positional[i]));
  }
  if (method.name == "join" && args.positional.size() == 1) {
    TRY(const auto items, iterate(runtime, args.positional[0]));
    std::vector<Value> escaped;
    for (const Value& item : items->items) {
      TRY(Value text, escape(runtime, item));
      escaped.push_back(std::move(text));
    }
    TRY(args.positional[0], runtime.list(std::move(escaped)));
  }
  TRY(const Value result, method.call(runtime, self, args));
  TRY([[maybe_unused]] const Ok paid, runtime.make(result.weight_bytes()));
  return as_safe(result);
}

}  // namespace

Value CallArgs::key_of(std::string_view name) const {
  if (more_named.is_dict()) {
    for (const auto& [key, value] : more_named.as_dict().items) {
      if (key.is_string() && key.as_string() == name) return key;
    }
  }
  return Value::own_string(std::string(name));
}

bool has_filter(std::string_view name) { return find_filter(name) != nullptr; }

Result<Value> call_filter(Runtime& runtime, std::string_view name, const Value& self,
                          const CallArgs& args) {
  TRY([[maybe_unused]] const Ok paid, runtime.work(weight_of(self, args)));
  const NamedBuiltin* filter = find_filter(name);
  if (filter == nullptr) return runtime.fail("there is no filter '" + std::string(name) + "'");
  TRY(Value result, filter->call(runtime, self, args));
  const bool keeps_safe =
      self.is_safe() && result.is_string() && !result.is_safe() &&
      std::count(kFiltersThatKeepSafe.begin(), kFiltersThatKeepSafe.end(), name) > 0;
  if (!keeps_safe) return result;
  return runtime.string(result.as_text(), true);
}

std::optional<std::string_view> find_method(const Value& object, std::string_view name) {
  const NamedBuiltin* method = method_of(object, name);
  if (method == nullptr) return std::nullopt;
  return method->name;
}

Result<Value> call_method(Runtime& runtime, std::string_view name, const Value& self,
                          const CallArgs& args) {
  TRY([[maybe_unused]] const Ok paid, runtime.work(weight_of(self, args)));
  const NamedBuiltin* method = method_of(self, name);
  CHECK(method != nullptr);  // the caller has called find_method()
  if (self.is_safe()) return call_safe_method(runtime, *method, self, args);
  return method->call(runtime, self, args);
}

std::optional<Value> find_function(std::string_view name) {
  const NamedBuiltin* found = find_in(kFunctions, name);
  if (found == nullptr) return std::nullopt;
  return Value::function({found->name, nullptr});
}

Result<Value> call_function(Runtime& runtime, std::string_view name, const CallArgs& args) {
  TRY([[maybe_unused]] const Ok paid, runtime.work(weight_of({}, args)));
  const NamedBuiltin* found = find_in(kFunctions, name);
  if (found == nullptr) return runtime.fail("'" + std::string(name) + "' cannot be called so");
  return found->call(runtime, {}, args);
}

}  // namespace lockstep::jinja
