// The methods of strings that make or cut text.
#include <algorithm>
#include <array>

#include "common/text/utf8.h"
#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/format.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/letter_case.h"
#include "node/text/jinja/values/number_text.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

std::string type_error(std::string_view method) { return std::string(method) + "() takes strings"; }

template <MarkedText (*kMap)(const MarkedText&)>
Result<Value> map_self(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  return runtime.string(kMap(self.as_text()));
}

template <std::string_view (*kStrip)(std::string_view, std::string_view)>
Result<Value> strip_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"chars"}, 0));
  const MarkedText& text = self.as_text();
  if (bound[0].is_absent()) return runtime.string(text.part(kStrip(text.bytes(), {})));
  if (!bound[0].is_string()) return runtime.fail(type_error("strip"));
  if (bound[0].as_string().empty()) return self;
  return runtime.string(text.part(kStrip(text.bytes(), bound[0].as_string())));
}

template <bool kFront>
Result<Value> remove_affix(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"affix"}, 1));
  if (!bound[0].is_string()) return runtime.fail(type_error("removeprefix"));
  const MarkedText& text = self.as_text();
  const std::string& affix = bound[0].as_string();
  if (kFront) {
    return text.bytes().starts_with(affix) ? runtime.string(text.substr(affix.size())) : self;
  }
  return text.bytes().ends_with(affix) ? runtime.string(text.substr(0, text.size() - affix.size()))
                                       : self;
}

Result<Value> strings(Runtime& runtime, const MarkedText& text,
                      const std::vector<std::string_view>& parts, bool is_tuple = false) {
  std::vector<Value> values;
  values.reserve(parts.size());
  for (const std::string_view part : parts) {
    TRY(Value value, runtime.string(text.part(part)));
    values.push_back(std::move(value));
  }
  return runtime.list(std::move(values), is_tuple);
}

long limit_of(const Value& limit) {
  return limit.is_integral() ? static_cast<long>(limit.as_int()) : -1;
}

using Split = std::vector<std::string_view> (*)(std::string_view, std::string_view, long);
using SplitSpace = std::vector<std::string_view> (*)(std::string_view, long);

template <Split kSplit, SplitSpace kSplitSpace>
Result<Value> split_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"sep", "maxsplit"}, 0));
  const long limit = limit_of(bound[1]);
  const std::string& text = self.as_string();
  if (bound[0].is_absent()) return strings(runtime, self.as_text(), kSplitSpace(text, limit));
  if (!bound[0].is_string()) return runtime.fail(type_error("split"));
  if (bound[0].as_string().empty()) return runtime.fail("split() needs a separator");
  return strings(runtime, self.as_text(), kSplit(text, bound[0].as_string(), limit));
}

Result<Value> splitlines(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"keepends"}, 0));
  return strings(runtime, self.as_text(), split_lines(self.as_string(), bound[0].truthy()));
}

// partition, rpartition: before, separator, after.
template <bool kFromRight>
Result<Value> partition(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"sep"}, 1));
  if (!bound[0].is_string()) return runtime.fail(type_error("partition"));
  const std::string& separator = bound[0].as_string();
  if (separator.empty()) return runtime.fail("partition() needs a separator");
  const std::string_view text = self.as_string();
  const size_t at = kFromRight ? text.rfind(separator) : text.find(separator);
  if (at == text.npos && kFromRight) return strings(runtime, self.as_text(), {{}, {}, text}, true);
  if (at == text.npos) return strings(runtime, self.as_text(), {text, {}, {}}, true);
  return strings(
      runtime, self.as_text(),
      {text.substr(0, at), text.substr(at, separator.size()), text.substr(at + separator.size())},
      true);
}

Result<Value> replace_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"old", "new", "count"}, 2));
  if (!bound[0].is_string() || !bound[1].is_string()) return runtime.fail(type_error("replace"));
  const std::string& from = bound[0].as_string();
  const MarkedText& to = bound[1].as_text();
  uint64_t n_added = 0;
  if (__builtin_mul_overflow(count(self.as_string(), from), to.held_bytes() + sizeof(ByteSpan),
                             &n_added)) {
    n_added = UINT64_MAX / 2;
  }
  TRY([[maybe_unused]] const Ok paid, runtime.make(self.as_text().held_bytes() + n_added));
  return Value::string(replace(self.as_text(), from, to, limit_of(bound[2])));
}

Result<Value> join_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"iterable"}, 1));
  TRY(const auto list, iterate(runtime, bound[0]));
  MarkedText out;
  bool first = true;
  for (const Value& item : list->items) {
    if (!item.is_string()) return runtime.fail("join() takes a list of strings");
    TRY([[maybe_unused]] const Ok paid,
        runtime.make(self.as_text().held_bytes() + item.as_text().held_bytes()));
    if (!std::exchange(first, false)) out.append(self.as_text());
    out.append(item.as_text());
  }
  return Value::string(std::move(out));
}

// center, ljust, rjust: (width, fillchar=" ")
template <char kAlign>
Result<Value> justify(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"width", "fillchar"}, 1));
  MarkedText fill = MarkedText::own(" ");
  if (!bound[1].is_undefined()) {
    if (!bound[1].is_string() || count_chars(bound[1].as_string()) != 1) {
      return runtime.fail("a text is filled up with one character");
    }
    fill = bound[1].as_text();
  }
  if (!bound[0].is_integral()) return runtime.fail("a width is an integer");
  const size_t n_chars = count_chars(self.as_string());
  const auto width = static_cast<size_t>(std::max<int64_t>(bound[0].as_int(), 0));
  if (width <= n_chars) return self;
  uint64_t n_fill = 0;
  if (__builtin_mul_overflow(width - n_chars, fill.held_bytes(), &n_fill)) n_fill = UINT64_MAX / 2;
  TRY([[maybe_unused]] const Ok paid, runtime.make(self.as_text().held_bytes() + n_fill));
  if (kAlign != '^') return Value::string(pad(self.as_text(), width, fill, kAlign));
  const size_t n_missing = width - n_chars;
  const size_t n_before = n_missing / 2 + (n_missing & width & 1);  // rounded as in CPython
  return Value::string(pad(pad(self.as_text(), n_chars + n_before, fill, '>'), width, fill, '<'));
}

Result<Value> zfill(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"width"}, 1));
  if (!bound[0].is_integral()) return runtime.fail("a width is an integer");
  const auto width = static_cast<size_t>(std::max<int64_t>(bound[0].as_int(), 0));
  if (width <= count_chars(self.as_string())) return self;
  TRY([[maybe_unused]] const Ok paid, runtime.make(self.as_text().held_bytes() + width));
  const bool has_sign = self.as_string()[0] == '+' || self.as_string()[0] == '-';
  return Value::string(pad(self.as_text(), width, MarkedText::own("0"), '=', has_sign ? 1 : 0));
}

Result<Value> expandtabs(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"tabsize"}, 0));
  const int64_t size = bound[0].is_integral() ? bound[0].as_int() : 8;
  if (size > 1000) return runtime.fail("expandtabs() is wider than 1000");
  const MarkedText& text = self.as_text();
  const auto n_tabs =
      static_cast<uint64_t>(std::count(text.bytes().begin(), text.bytes().end(), '\t'));
  TRY([[maybe_unused]] const Ok paid,
      runtime.make(text.held_bytes() + n_tabs * static_cast<uint64_t>(std::max<int64_t>(size, 0))));
  MarkedText out;
  int64_t column = 0;
  for (const std::string_view character : chars_of(text.bytes())) {
    if (character != "\t") {
      column = character == "\n" || character == "\r" ? 0 : column + 1;
      out.append_part(text, character);
    } else if (size > 0) {
      const int64_t n = size - column % size;
      column += n;
      const auto at = static_cast<size_t>(character.data() - text.bytes().data());
      out.append(std::string(static_cast<size_t>(n), ' '), text.is_input(at));
    }
  }
  return Value::string(std::move(out));
}

constexpr std::array<NamedBuiltin, 24> kStringMethods = {{
    {"strip", strip_text<strip>},
    {"lstrip", strip_text<strip_left>},
    {"rstrip", strip_text<strip_right>},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"upper", map_self<upper>},
    {"lower", map_self<lower>},
    {"casefold", map_self<casefold>},
    {"swapcase", map_self<swapcase>},
    {"capitalize", map_self<capitalize>},
    {"title", map_self<title>},
    {"split", split_text<split, split_space>},
    {"rsplit", split_text<rsplit, rsplit_space>},
    {"splitlines", splitlines},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"replace", replace_text},
    {"join", join_text},
    {"center", justify<'^'>},
    {"ljust", justify<'<'>},
    {"rjust", justify<'>'>},
    {"zfill", zfill},
    {"expandtabs", expandtabs},
    {"format", format_braces},
}};

}  // namespace

std::span<const NamedBuiltin> string_methods() { return kStringMethods; }

}  // namespace lockstep::jinja
