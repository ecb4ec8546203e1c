// Filters over the items of a sequence. A filter that is lazy in Jinja gives a list here.
#include <algorithm>
#include <array>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/item_path.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/strings.h"

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

// join(d="", attribute)
Result<Value> join(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"d", "attribute"}, 0));
  TRY(const MarkedText separator, text_of(runtime, bound[0]));
  TRY(const ItemPath path, ItemPath::make(runtime, bound[1]));
  TRY(const auto list, iterate(runtime, self));
  MarkedText out;
  bool first = true;
  for (const Value& item : list->items) {
    TRY(const Value value, path.of(runtime, item));
    TRY(const MarkedText text, text_of(runtime, value));
    TRY([[maybe_unused]] const Ok paid, runtime.make(text.held_bytes() + separator.held_bytes()));
    if (!std::exchange(first, false)) out.append(separator);
    out.append(text);
  }
  return Value::string(std::move(out));
}

// map('filter', …) or map(attribute=…, default=…)
Result<Value> map(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto list, iterate(runtime, self));
  CallArgs rest{{}, args.named, args.more_named};
  ItemPath path;
  if (args.positional.empty()) {
    TRY(const auto bound, rest.bind(runtime, {"attribute", "default"}, 1));
    TRY(path, ItemPath::make(runtime, bound[0], bound[1].is(Kind::kNone) ? Value() : bound[1]));
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
      TRY(Value value, path.of(runtime, item));
      mapped.push_back(std::move(value));
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
  CallArgs rest{{}, args.named, args.more_named};
  ItemPath path;
  if (by_attribute) {
    TRY(path, ItemPath::make(runtime, args.positional[0]));
  }
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
    TRY(const Value subject, path.of(runtime, item));
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

// batch(linecount, fill_with): lists of `linecount` items
Result<Value> batch(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"linecount", "fill_with"}, 1));
  if (!bound[0].is_integral()) return runtime.fail("batch takes an integer");
  TRY(const auto list, iterate(runtime, self));
  const int64_t n = bound[0].as_int();
  std::vector<Value> batches, row;
  for (const Value& item : list->items) {
    if (std::ssize(row) == n) {
      TRY(Value full, runtime.list(std::exchange(row, {})));
      batches.push_back(std::move(full));
    }
    row.push_back(item);
  }
  if (row.empty()) return runtime.list(std::move(batches));
  const bool fills = !bound[1].is_undefined() && !bound[1].is(Kind::kNone);
  if (fills && std::ssize(row) < n) {
    uint64_t n_bytes = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(n), sizeof(Value), &n_bytes)) {
      n_bytes = UINT64_MAX / 2;
    }
    TRY([[maybe_unused]] const Ok paid, runtime.make(n_bytes));
    row.resize(static_cast<size_t>(n), bound[1]);
  }
  TRY(Value last_row, runtime.list(std::move(row)));
  batches.push_back(std::move(last_row));
  return runtime.list(std::move(batches));
}

// slice(slices, fill_with): `slices` lists, the first ones longer by one
Result<Value> slice(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"slices", "fill_with"}, 1));
  if (!bound[0].is_integral() || bound[0].as_int() == 0) {
    return runtime.fail("slice takes an integer other than zero");
  }
  TRY(const auto list, iterate(runtime, self));
  const auto n_slices = static_cast<uint64_t>(std::max<int64_t>(bound[0].as_int(), 0));
  if (n_slices == 0) return runtime.list({});
  uint64_t n_bytes = 0;
  if (__builtin_mul_overflow(n_slices, 2 * sizeof(List), &n_bytes)) n_bytes = UINT64_MAX / 2;
  TRY([[maybe_unused]] const Ok paid, runtime.make(n_bytes));
  const uint64_t n_each = list->items.size() / n_slices, n_longer = list->items.size() % n_slices;
  const bool fills = !bound[1].is_undefined() && !bound[1].is(Kind::kNone);
  std::vector<Value> slices;
  auto next = list->items.begin();
  for (uint64_t i = 0; i < n_slices; ++i) {
    const auto end = next + static_cast<long>(n_each + (i < n_longer ? 1 : 0));
    std::vector<Value> items(next, end);
    next = end;
    if (fills && i >= n_longer) items.push_back(bound[1]);
    TRY(Value part, runtime.list(std::move(items)));
    slices.push_back(std::move(part));
  }
  return runtime.list(std::move(slices));
}

constexpr std::array<NamedBuiltin, 15> kSequenceFilters = {{
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
    {"batch", batch},
    {"slice", slice},
}};

}  // namespace

std::span<const NamedBuiltin> sequence_filters() { return kSequenceFilters; }

}  // namespace lockstep::jinja
