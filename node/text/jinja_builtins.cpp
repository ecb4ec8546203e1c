#include "node/text/jinja_builtins.h"

#include <algorithm>
#include <array>

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
  if (const Value* found = self.as_dict().find(bound[0])) return *found;
  const bool has_default = args.positional.size() + args.named.size() > 1;
  return has_default ? bound[1] : Value::none();
}

Result<Value> loop_cycle(Runtime& runtime, const Value& self, const CallArgs& args) {
  if (args.positional.empty()) return runtime.fail("cycle() needs something to cycle through");
  return args.positional[self.as_loop().index0 % args.positional.size()];
}

constexpr std::array<NamedBuiltin, 4> kDictMethods = {{
    {"items", dict_items},
    {"keys", dict_keys},
    {"values", dict_values},
    {"get", dict_get},
}};
constexpr std::array<NamedBuiltin, 1> kLoopMethods = {{{"cycle", loop_cycle}}};

const NamedBuiltin* method_of(const Value& object, std::string_view name) {
  if (object.is_string()) return find_string_method(name);
  if (object.is_dict()) return find_in(kDictMethods, name);
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
  if (args.positional.size() > 1 ||
      (args.positional.size() == 1 && !args.positional[0].is_dict())) {
    return runtime.fail("dict() takes one dict and named values");
  }
  if (!args.positional.empty()) items = args.positional[0].as_dict().items;
  for (const auto& [name, value] : args.named) {
    const auto same = [name = name](const auto& item) {
      return item.first.is_string() && item.first.as_string() == name;
    };
    const auto found = std::find_if(items.begin(), items.end(), same);
    if (found != items.end()) {
      found->second = value;
    } else {
      items.emplace_back(Value::string(std::string(name)), value);
    }
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
               "the model's chat template refuses these messages: " + to_text(bound[0]),
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

Result<Value> call_filter(Runtime& runtime, std::string_view name, const Value& self,
                          const CallArgs& args) {
  TRY([[maybe_unused]] const Ok paid, runtime.work(weight_of(self, args)));
  const NamedBuiltin* filter = find_string_filter(name);
  if (filter == nullptr) filter = find_sequence_filter(name);
  if (filter == nullptr) return runtime.fail("there is no filter '" + std::string(name) + "'");
  return filter->call(runtime, self, args);
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
  CHECK(method != nullptr);  // the caller has asked find_method()
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
