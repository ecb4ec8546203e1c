// Filters that compare items: sort, group, find unique items, add up.
#include <algorithm>
#include <array>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/item_path.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

// An item and the key by which it is compared.
struct Keyed {
  Value key, item;
};

bool is_nan(const Value& value) {
  return value.is(Kind::kFloat) && value.as_real() != value.as_real();
}

// Sorts and keeps the order of equals. Fails if two keys have no order.
Status sort_keyed(Runtime& runtime, std::vector<Keyed>& rows, bool reverse) {
  uint64_t n_bytes = 0;
  for (const Keyed& row : rows) {
    if (is_nan(row.key)) return runtime.fail("nan cannot be sorted");
    n_bytes += row.key.weight_bytes();
  }
  TRY([[maybe_unused]] const Ok paid, runtime.work(n_bytes * 16));
  const Keyed *first = nullptr, *second = nullptr;  // a pair without an order
  std::stable_sort(rows.begin(), rows.end(), [&](const Keyed& a, const Keyed& b) {
    const Order order = compare(a.key, b.key);
    if (order == Order::kNone && first == nullptr) {
      first = &a;
      second = &b;
    }
    return order == (reverse ? Order::kGreater : Order::kLess);
  });
  if (first != nullptr) return runtime.fail("not all of the items can be compared");
  return Ok{};
}

Result<Value> items_of(Runtime& runtime, std::vector<Keyed> rows) {
  std::vector<Value> items;
  items.reserve(rows.size());
  for (Keyed& row : rows) items.push_back(std::move(row.item));
  return runtime.list(std::move(items));
}

Result<std::vector<Keyed>> keyed_by(Runtime& runtime, const Value& self, const ItemPath& path,
                                    bool case_sensitive) {
  TRY(const auto list, iterate(runtime, self));
  std::vector<Keyed> rows;
  rows.reserve(list->items.size());
  for (const Value& item : list->items) {
    TRY(const Value value, path.of(runtime, item));
    TRY(Value key, comparison_key(runtime, value, case_sensitive));
    rows.push_back({std::move(key), item});
  }
  return rows;
}

// sort(reverse=false, case_sensitive=false, attribute="a,b.c")
Result<Value> sort(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"reverse", "case_sensitive", "attribute"}, 0));
  std::vector<ItemPath> paths;
  if (bound[2].is_string()) {
    for (const std::string_view part : split(bound[2].as_string(), ",", -1)) {
      TRY(ItemPath path, ItemPath::make(runtime, Value::own_string(std::string(part))));
      paths.push_back(std::move(path));
    }
  } else {
    TRY(ItemPath path, ItemPath::make(runtime, bound[2]));
    paths.push_back(std::move(path));
  }
  TRY(std::vector<Keyed> rows, keyed_by(runtime, self, paths[0], bound[1].truthy()));
  for (Keyed& row : rows) {
    if (paths.size() == 1) break;
    std::vector<Value> keys = {row.key};
    for (size_t i = 1; i < paths.size(); ++i) {
      TRY(const Value value, paths[i].of(runtime, row.item));
      TRY(Value key, comparison_key(runtime, value, bound[1].truthy()));
      keys.push_back(std::move(key));
    }
    TRY(row.key, runtime.list(std::move(keys)));
  }
  TRY([[maybe_unused]] const Ok sorted, sort_keyed(runtime, rows, bound[0].truthy()));
  return items_of(runtime, std::move(rows));
}

// dictsort(case_sensitive=false, by="key", reverse=false)
Result<Value> dictsort(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"case_sensitive", "by", "reverse"}, 0));
  if (!self.is_dict()) return runtime.fail("dictsort takes a dict");
  const std::string by = bound[1].is_string() ? bound[1].as_string() : "key";
  if (by != "key" && by != "value") return runtime.fail("dictsort: by is key or value");
  std::vector<Keyed> rows;
  for (const auto& [key, value] : self.as_dict().items) {
    TRY(Value compared, comparison_key(runtime, by == "key" ? key : value, bound[0].truthy()));
    TRY(Value pair, runtime.list({key, value}, true));
    rows.push_back({std::move(compared), std::move(pair)});
  }
  TRY([[maybe_unused]] const Ok sorted, sort_keyed(runtime, rows, bound[2].truthy()));
  return items_of(runtime, std::move(rows));
}

// groupby(attribute, default=none, case_sensitive=false): (grouper, list) pairs
Result<Value> groupby(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"attribute", "default", "case_sensitive"}, 1));
  const Value fallback = bound[1].is(Kind::kNone) ? Value() : bound[1];
  TRY(const ItemPath path, ItemPath::make(runtime, bound[0], fallback));
  TRY(std::vector<Keyed> rows, keyed_by(runtime, self, path, bound[2].truthy()));
  TRY([[maybe_unused]] const Ok sorted, sort_keyed(runtime, rows, false));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < rows.size();) {
    std::vector<Value> items;
    size_t end = begin;
    for (; end < rows.size() && equal(rows[begin].key, rows[end].key); ++end) {
      items.push_back(rows[end].item);
    }
    if (end == begin) ++end;
    TRY(Value grouper, path.of(runtime, rows[begin].item));
    TRY(Value group, runtime.group(std::move(grouper), std::move(items)));
    groups.push_back(std::move(group));
    begin = end;
  }
  return runtime.list(std::move(groups));
}

// unique(case_sensitive=false, attribute): the first of equals
Result<Value> unique(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"case_sensitive", "attribute"}, 0));
  TRY(const ItemPath path, ItemPath::make(runtime, bound[1]));
  TRY(std::vector<Keyed> rows, keyed_by(runtime, self, path, bound[0].truthy()));
  std::vector<Keyed> kept;
  for (Keyed& row : rows) {
    if (row.key.is_dict() || (row.key.is_list() && !row.key.as_list().is_tuple)) {
      return runtime.fail("a " + std::string(kind_name(row.key)) + " cannot be hashed");
    }
    TRY([[maybe_unused]] const Ok paid, runtime.work(kept.size() * 16));
    const bool seen = std::any_of(kept.begin(), kept.end(),
                                  [&row](const Keyed& other) { return equal(row.key, other.key); });
    if (!seen) kept.push_back(std::move(row));
  }
  return items_of(runtime, std::move(kept));
}

// min and max(case_sensitive=false, attribute): the first of equals
template <bool kMax>
Result<Value> extreme(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"case_sensitive", "attribute"}, 0));
  TRY(const ItemPath path, ItemPath::make(runtime, bound[1]));
  TRY(const std::vector<Keyed> rows, keyed_by(runtime, self, path, bound[0].truthy()));
  if (rows.empty()) return Value::undefined("the least or greatest of nothing");
  size_t best = 0;
  for (size_t i = 1; i < rows.size(); ++i) {
    TRY(const bool better, apply_compare(runtime, kMax ? CompareOp::kGreater : CompareOp::kLess,
                                         rows[i].key, rows[best].key));
    if (better) best = i;
  }
  return rows[best].item;
}

// sum(attribute, start=0)
Result<Value> sum(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"attribute", "start"}, 0));
  TRY(const ItemPath path, ItemPath::make(runtime, bound[0]));
  TRY(const auto list, iterate(runtime, self));
  Value total = bound[1].is_undefined() ? Value::integer(0) : bound[1];
  if (total.is_string()) return runtime.fail("sum does not join strings");
  for (const Value& item : list->items) {
    TRY(const Value value, path.of(runtime, item));
    TRY([[maybe_unused]] const Ok paid, runtime.work(0));
    TRY(total, apply_binary(runtime, BinaryOp::kAdd, total, value));
  }
  return total;
}

constexpr std::array<NamedBuiltin, 7> kOrderFilters = {{
    {"sort", sort},
    {"dictsort", dictsort},
    {"groupby", groupby},
    {"unique", unique},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"sum", sum},
}};

}  // namespace

std::span<const NamedBuiltin> order_filters() { return kOrderFilters; }

}  // namespace lockstep::jinja
