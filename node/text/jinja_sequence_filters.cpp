// Filters over the items of something. What is lazy in Jinja is a list here.
#include <algorithm>
#include <array>

#include "node/text/jinja_builtins.h"
#include "node/text/jinja_operators.h"
#include "node/text/jinja_strings.h"

namespace lockstep::jinja {
namespace {

Result<Value> length(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  size_t n = 0;
  switch (self.kind()) {
    case Kind::kString:
      n = count_chars(self.as_string());
      break;
    case Kind::kList:
      n = self.as_list().items.size();
      break;
    case Kind::kDict:
      n = self.as_dict().items.size();
      break;
    case Kind::kUndefined:
      break;
    default:
      return runtime.fail("a " + std::string(kind_name(self)) + " has no length");
  }
  return Value::integer(static_cast<int64_t>(n));
}

Result<Value> first(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  TRY(const auto list, iterate(runtime, self));
  return list->items.empty() ? Value::undefined("the first item") : list->items.front();
}

Result<Value> last(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  TRY(const auto list, iterate(runtime, self));
  return list->items.empty() ? Value::undefined("the last item") : list->items.back();
}

Result<Value> to_list(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  TRY(const auto list, iterate(runtime, self));
  return runtime.list(list->items);
}

Result<Value> reverse(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  if (self.is_string()) {
    return get_slice(runtime, self, {}, {}, Value::integer(-1));
  }
  TRY(const auto list, iterate(runtime, self));
  return runtime.list({list->items.rbegin(), list->items.rend()});
}

Result<Value> items(Runtime& runtime, const Value& self, const CallArgs& args) {
  if (self.is_undefined()) return runtime.list({});
  if (!self.is_dict()) return runtime.fail("items needs a dict");
  return call_method(runtime, "items", self, args);
}

// "a.b.0" of an item, as map(attribute=…) and its like have it.
Result<Value> path_of(Runtime& runtime, Value item, const Value& path) {
  if (path.is_integral()) return get_item(runtime, item, path);
  if (!path.is_string()) return runtime.fail("an attribute is named by a string");
  for (const std::string_view part : split(path.as_string(), ".", -1)) {
    const bool is_index =
        !part.empty() && part.size() < 10 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    const Value key =
        is_index ? Value::integer(std::stoi(std::string(part))) : Value::string(std::string(part));
    TRY(item, get_item(runtime, item, key));
  }
  return item;
}

Result<Value> join(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"d", "attribute"}, 0));
  TRY(const std::string separator, text_of(runtime, bound[0]));
  TRY(const auto list, iterate(runtime, self));
  std::string out;
  for (size_t i = 0; i < list->items.size(); ++i) {
    Value item = list->items[i];
    if (!bound[1].is_undefined()) {
      TRY(item, path_of(runtime, item, bound[1]));
    }
    TRY(const std::string text, text_of(runtime, item));
    TRY([[maybe_unused]] const Ok paid, runtime.make(text.size() + separator.size()));
    if (i > 0) out += separator;
    out += text;
  }
  return Value::string(std::move(out));
}

// map('filter', …) or map(attribute=…, default=…)
Result<Value> map(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto list, iterate(runtime, self));
  CallArgs rest{{}, args.named};
  Value attribute, fallback;
  if (args.positional.empty()) {
    CallArgs named{{}, args.named};
    TRY(const auto bound, named.bind(runtime, {"attribute", "default"}, 1));
    attribute = bound[0];
    fallback = bound[1];
  } else if (args.positional[0].is_string()) {
    rest.positional.assign(args.positional.begin() + 1, args.positional.end());
  } else {
    return runtime.fail("map() takes the name of a filter");
  }
  std::vector<Value> mapped;
  for (const Value& item : list->items) {
    if (!args.positional.empty()) {
      TRY(Value value, call_filter(runtime, args.positional[0].as_string(), item, rest));
      mapped.push_back(std::move(value));
    } else {
      TRY(Value value, path_of(runtime, item, attribute));
      mapped.push_back(value.is_undefined() && !fallback.is_undefined() ? fallback : value);
    }
  }
  return runtime.list(std::move(mapped));
}

// select(test, …), reject, selectattr(attribute, test, …), rejectattr
Result<Value> filter_items(Runtime& runtime, const Value& self, const CallArgs& args,
                           bool by_attribute, bool keep) {
  TRY(const auto list, iterate(runtime, self));
  const size_t n_own = by_attribute ? 1 : 0;
  if (args.positional.size() < n_own) return runtime.fail("lacks the argument 'attribute'");
  CallArgs rest{{}, args.named};
  const bool has_test = args.positional.size() > n_own;
  if (has_test && !args.positional[n_own].is_string()) {
    return runtime.fail("a test is named by a string");
  }
  if (has_test) {
    rest.positional.assign(args.positional.begin() + static_cast<long>(n_own) + 1,
                           args.positional.end());
  }
  std::vector<Value> picked;
  for (const Value& item : list->items) {
    Value subject = item;
    if (by_attribute) {
      TRY(subject, path_of(runtime, item, args.positional[0]));
    }
    bool holds = subject.truthy();
    if (has_test) {
      TRY(holds, call_test(runtime, args.positional[n_own].as_string(), subject, rest));
    }
    if (holds == keep) picked.push_back(item);
  }
  return runtime.list(std::move(picked));
}

template <bool kByAttribute, bool kKeep>
Result<Value> filter_by(Runtime& runtime, const Value& self, const CallArgs& args) {
  return filter_items(runtime, self, args, kByAttribute, kKeep);
}

// sort(reverse=false, case_sensitive=false, attribute=…), of numbers or of strings
Result<Value> sort(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"reverse", "case_sensitive", "attribute"}, 0));
  TRY(const auto list, iterate(runtime, self));
  std::vector<std::pair<Value, Value>> keyed;  // what it is sorted by, item
  for (const Value& item : list->items) {
    Value key = item;
    if (!bound[2].is_undefined() && !bound[2].is(Kind::kNone)) {
      TRY(key, path_of(runtime, item, bound[2]));
    }
    if (key.is_string() && !bound[1].truthy()) {
      TRY(key, runtime.string(lower(key.as_string())));
    }
    const bool sortable = key.is_string() ? keyed.empty() || keyed[0].first.is_string()
                                          : key.is_number() && key.as_real() == key.as_real() &&
                                                (keyed.empty() || keyed[0].first.is_number());
    if (!sortable) return runtime.fail("only strings or numbers can be sorted");
    keyed.emplace_back(std::move(key), item);
  }
  TRY([[maybe_unused]] const Ok paid, runtime.work(self.weight_bytes() * 16));
  const bool reversed = bound[0].truthy();
  std::stable_sort(keyed.begin(), keyed.end(), [reversed](const auto& a, const auto& b) {
    return compare(a.first, b.first) == (reversed ? Order::kGreater : Order::kLess);
  });
  std::vector<Value> sorted;
  sorted.reserve(keyed.size());
  for (auto& [key, item] : keyed) sorted.push_back(std::move(item));
  return runtime.list(std::move(sorted));
}

constexpr std::array<NamedBuiltin, 14> kFilters = {{
    {"length", length},
    {"count", length},
    {"first", first},
    {"last", last},
    {"list", to_list},
    {"reverse", reverse},
    {"items", items},
    {"join", join},
    {"map", map},
    {"select", filter_by<false, true>},
    {"reject", filter_by<false, false>},
    {"selectattr", filter_by<true, true>},
    {"rejectattr", filter_by<true, false>},
    {"sort", sort},
}};

}  // namespace

const NamedBuiltin* find_sequence_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace lockstep::jinja
