// The methods of strings.
#include <algorithm>
#include <array>
#include <climits>

#include "node/text/jinja_builtins.h"
#include "node/text/jinja_strings.h"

namespace lockstep::jinja {
namespace {

std::string type_error(std::string_view method) { return std::string(method) + "() takes strings"; }

template <std::string (*kMap)(std::string_view)>
Result<Value> map_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  return runtime.string(kMap(self.as_string()));
}

template <std::string_view (*kStrip)(std::string_view, std::string_view)>
Result<Value> strip_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"chars"}, 0));
  if (bound[0].is_undefined() || bound[0].is(Kind::kNone)) {
    return runtime.string(std::string(kStrip(self.as_string(), {})));
  }
  if (!bound[0].is_string()) return runtime.fail(type_error("strip"));
  if (bound[0].as_string().empty()) return self;
  return runtime.string(std::string(kStrip(self.as_string(), bound[0].as_string())));
}

bool has_prefix(std::string_view text, std::string_view part) {
  return text.substr(0, part.size()) == part;
}

bool has_suffix(std::string_view text, std::string_view part) {
  return text.size() >= part.size() && text.substr(text.size() - part.size()) == part;
}

// startswith, endswith: with a string or a tuple of them
template <bool (*kHas)(std::string_view, std::string_view)>
Result<Value> has_affix(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"affix"}, 1));
  if (bound[0].is_string()) {
    return Value::boolean(kHas(self.as_string(), bound[0].as_string()));
  }
  if (!bound[0].is_list()) return runtime.fail(type_error("startswith"));
  const auto& options = bound[0].as_list().items;
  return Value::boolean(std::any_of(options.begin(), options.end(), [&self](const Value& option) {
    return option.is_string() && kHas(self.as_string(), option.as_string());
  }));
}

template <bool (*kHas)(std::string_view, std::string_view), bool kFront>
Result<Value> remove_affix(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"affix"}, 1));
  if (!bound[0].is_string()) return runtime.fail(type_error("removeprefix"));
  std::string_view text = self.as_string();
  const std::string& affix = bound[0].as_string();
  if (!kHas(text, affix)) return self;
  text = kFront ? text.substr(affix.size()) : text.substr(0, text.size() - affix.size());
  return runtime.string(std::string(text));
}

Result<Value> strings(Runtime& runtime, const std::vector<std::string_view>& parts) {
  std::vector<Value> values;
  values.reserve(parts.size());
  for (const std::string_view part : parts) {
    TRY(Value value, runtime.string(std::string(part)));
    values.push_back(std::move(value));
  }
  return runtime.list(std::move(values));
}

long limit_of(const Value& limit) {
  return limit.is_integral() ? static_cast<long>(limit.as_int()) : -1;
}

Result<Value> split_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"sep", "maxsplit"}, 0));
  const long limit = limit_of(bound[1]);
  if (bound[0].is_undefined() || bound[0].is(Kind::kNone)) {
    return strings(runtime, split_space(self.as_string(), limit));
  }
  if (!bound[0].is_string()) return runtime.fail(type_error("split"));
  if (bound[0].as_string().empty()) return runtime.fail("split() needs a separator");
  return strings(runtime, split(self.as_string(), bound[0].as_string(), limit));
}

// Like split, counting from the right.
Result<Value> rsplit_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"sep", "maxsplit"}, 1));
  if (!bound[0].is_string()) return runtime.fail(type_error("rsplit"));
  const std::string& separator = bound[0].as_string();
  if (separator.empty()) return runtime.fail("rsplit() needs a separator");
  std::string_view rest = self.as_string();
  std::vector<std::string_view> parts;
  for (long limit = limit_of(bound[1]); limit != 0; --limit) {
    const size_t at = rest.rfind(separator);
    if (at == rest.npos) break;
    parts.push_back(rest.substr(at + separator.size()));
    rest = rest.substr(0, at);
  }
  parts.push_back(rest);
  std::reverse(parts.begin(), parts.end());
  return strings(runtime, parts);
}

Result<Value> splitlines(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  return strings(runtime, split_lines(self.as_string()));
}

Result<Value> replace_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"old", "new", "count"}, 2));
  if (!bound[0].is_string() || !bound[1].is_string()) return runtime.fail(type_error("replace"));
  const std::string &text = self.as_string(), &from = bound[0].as_string();
  const std::string& to = bound[1].as_string();
  uint64_t n_added = 0;
  if (__builtin_mul_overflow(count(text, from), to.size(), &n_added)) n_added = UINT64_MAX / 2;
  TRY([[maybe_unused]] const Ok paid, runtime.make(text.size() + n_added));
  return Value::string(replace(text, from, to, limit_of(bound[2])));
}

// find and rfind count in characters; -1 = not there.
template <bool kFromRight>
Result<Value> find_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"sub"}, 1));
  if (!bound[0].is_string()) return runtime.fail(type_error("find"));
  const std::string_view text = self.as_string();
  const size_t at = kFromRight ? text.rfind(bound[0].as_string()) : text.find(bound[0].as_string());
  if (at == text.npos) return Value::integer(-1);
  return Value::integer(static_cast<int64_t>(count_chars(text.substr(0, at))));
}

Result<Value> count_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"sub"}, 1));
  if (!bound[0].is_string()) return runtime.fail(type_error("count"));
  return Value::integer(static_cast<int64_t>(count(self.as_string(), bound[0].as_string())));
}

Result<Value> join_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"iterable"}, 1));
  if (!bound[0].is_list()) return runtime.fail("join() takes a list of strings");
  std::string out;
  const auto& items = bound[0].as_list().items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) return runtime.fail("join() takes a list of strings");
    const std::string& item = items[i].as_string();
    TRY([[maybe_unused]] const Ok paid, runtime.make(self.as_string().size() + item.size()));
    if (i > 0) out += self.as_string();
    out += item;
  }
  return Value::string(std::move(out));
}

template <bool (*kIs)(char)>
Result<Value> all_chars(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  const std::string& text = self.as_string();
  return Value::boolean(!text.empty() && std::all_of(text.begin(), text.end(), kIs));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

Result<Value> is_space_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  const std::string& text = self.as_string();
  return Value::boolean(!text.empty() && strip_left(text, {}).empty());
}

constexpr std::array<NamedBuiltin, 21> kMethods = {{
    {"strip", strip_text<strip>},
    {"lstrip", strip_text<strip_left>},
    {"rstrip", strip_text<strip_right>},
    {"startswith", has_affix<has_prefix>},
    {"endswith", has_affix<has_suffix>},
    {"removeprefix", remove_affix<has_prefix, true>},
    {"removesuffix", remove_affix<has_suffix, false>},
    {"upper", map_text<upper>},
    {"lower", map_text<lower>},
    {"capitalize", map_text<capitalize>},
    {"title", map_text<title>},
    {"split", split_text},
    {"rsplit", rsplit_text},
    {"splitlines", splitlines},
    {"replace", replace_text},
    {"find", find_text<false>},
    {"rfind", find_text<true>},
    {"count", count_text},
    {"join", join_text},
    {"isdigit", all_chars<is_digit>},
    {"isspace", is_space_text},
}};

}  // namespace

const NamedBuiltin* find_string_method(std::string_view name) { return find_in(kMethods, name); }

}  // namespace lockstep::jinja
