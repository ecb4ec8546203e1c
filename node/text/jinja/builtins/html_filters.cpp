// Filters for HTML and URLs.
#include <algorithm>
#include <array>
#include <charconv>

#include "common/text/utf8.h"
#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/html.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

struct Escape {
  char character;
  std::string_view text;
};
constexpr std::array<Escape, 5> kEscapes = {
    {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kEntities = {
    {{"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"}, {"nbsp", "\u00a0"}}};

Result<Value> escape_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  return escape(runtime, self);
}

Result<Value> force_escape(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  TRY(const MarkedText text, text_of(runtime, self));
  return runtime.string(escape_text(text), true);
}

Result<Value> safe(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  if (self.is_safe()) return self;
  TRY(MarkedText text, text_of(runtime, self));
  return runtime.string(std::move(text), true);
}

MarkedText without_tags(const MarkedText& text) {
  MarkedText out;
  std::string_view rest = text.bytes();
  for (size_t at = rest.find('<'); at != rest.npos; at = rest.find('<')) {
    const bool comment = rest.substr(at, 4) == "<!--";
    const size_t end = comment ? rest.find("-->", at + 4) : rest.find('>', at);
    if (end == rest.npos) break;
    out.append_part(text, rest.substr(0, at));
    rest.remove_prefix(end + (comment ? 3 : 1));
  }
  out.append_part(text, rest);
  return out;
}

// The character that "&…;" stands for; empty = not a known entity.
std::string entity(std::string_view name) {
  if (name.substr(0, 1) != "#") {
    const auto* found = std::find_if(kEntities.begin(), kEntities.end(),
                                     [name](const auto& known) { return known.first == name; });
    return found == kEntities.end() ? "" : std::string(found->second);
  }
  const bool is_hex = name.substr(1, 1) == "x" || name.substr(1, 1) == "X";
  name.remove_prefix(is_hex ? 2 : 1);
  uint32_t c = 0;
  const auto [end, error] =
      std::from_chars(name.data(), name.data() + name.size(), c, is_hex ? 16 : 10);
  const bool valid = error == std::errc() && end == name.data() + name.size() && c >= 0x20 &&
                     (c < 0x7F || c > 0x9F) && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
  std::string out;
  if (valid) utf8::append(c, out);
  return out;
}

// Fails on a named entity that this file does not know, instead of leaving it as it is.
Result<MarkedText> unescape_entities(Runtime& runtime, const MarkedText& text) {
  MarkedText out;
  std::string_view rest = text.bytes();
  for (size_t at = rest.find('&'); at != rest.npos; at = rest.find('&')) {
    out.append_part(text, rest.substr(0, at));
    rest.remove_prefix(at);
    const size_t end = rest.find_first_not_of(
        "#0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 1);
    const bool named = end != 1 && rest.size() > 1;
    if (!named) {
      out.append_part(text, rest.substr(0, 1));
      rest.remove_prefix(1);
      continue;
    }
    const std::string name(rest.substr(1, end == rest.npos ? rest.npos : end - 1));
    const std::string meant = end != rest.npos && rest[end] == ';' ? entity(name) : "";
    if (meant.empty()) return runtime.fail("striptags does not know the entity &" + name);
    out.append(meant, text.is_input(text.size() - rest.size()));
    rest.remove_prefix(end + 1);
  }
  out.append_part(text, rest);
  return out;
}

Result<Value> striptags(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  TRY(const MarkedText text, text_of(runtime, self));
  const MarkedText bare = without_tags(text);
  MarkedText collapsed;
  for (const std::string_view word : split_space(bare.bytes(), -1)) {
    if (!collapsed.empty()) collapsed.append_own(" ");
    collapsed.append_part(bare, word);
  }
  TRY(MarkedText out, unescape_entities(runtime, collapsed));
  return runtime.string(std::move(out));
}

// xmlattr(autospace=true)
Result<Value> xmlattr(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"autospace"}, 0));
  if (!self.is_dict()) return runtime.fail("xmlattr takes a dict");
  const bool autospace = bound[0].is_undefined() || bound[0].truthy();
  MarkedText out;
  for (const auto& [key, value] : self.as_dict().items) {
    if (value.is_absent()) continue;
    TRY(const MarkedText spelled, text_of(runtime, key));
    for (const std::string_view c : chars_of(spelled.bytes())) {
      if (is_space(c) || c == "/" || c == ">" || c == "=") {
        return runtime.fail("xmlattr: an attribute's name holds a space, '/', '>' or '='");
      }
    }
    TRY(const Value name, escape(runtime, key));
    TRY(const Value content, escape(runtime, value));
    if (!out.empty() || autospace) out.append_own(" ");
    out.append(name.as_text());
    out.append_own("=\"");
    out.append(content.as_text());
    out.append_own("\"");
  }
  return runtime.string(std::move(out));
}

// urllib.parse.quote; in a query, spaces are + and slashes are quoted too.
Result<MarkedText> quote(Runtime& runtime, const Value& value, bool in_query) {
  TRY(const MarkedText text, text_of(runtime, value));
  TRY([[maybe_unused]] const Ok paid, runtime.make(2 * text.size()));
  static constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
  MarkedText out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes()[i];
    const bool plain = kPlain.find(c) != kPlain.npos || (c == '/' && !in_query);
    std::string shown(1, c);
    if (!plain) {
      const auto byte = static_cast<uint8_t>(c);
      shown = {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
    }
    if (in_query && c == ' ') shown = "+";
    out.append(shown, text.is_input(i));
  }
  return out;
}

Result<Value> urlencode(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  if (!self.is_dict() && !self.is_list()) {
    TRY(MarkedText text, quote(runtime, self, false));
    return runtime.string(std::move(text));
  }
  MarkedText out;
  const auto append = [&](const Value& key, const Value& value) -> Status {
    TRY(const MarkedText name, quote(runtime, key, true));
    TRY(const MarkedText content, quote(runtime, value, true));
    if (!out.empty()) out.append_own("&");
    out.append(name);
    out.append_own("=");
    out.append(content);
    return Ok{};
  };
  if (self.is_dict()) {
    for (const auto& [key, value] : self.as_dict().items) {
      TRY([[maybe_unused]] const Ok appended, append(key, value));
    }
    return runtime.string(std::move(out));
  }
  for (const Value& item : self.as_list().items) {
    TRY(const auto pair, iterate(runtime, item));
    if (pair->items.size() != 2) return runtime.fail("urlencode takes pairs");
    TRY([[maybe_unused]] const Ok appended, append(pair->items[0], pair->items[1]));
  }
  return runtime.string(std::move(out));
}

constexpr std::array<NamedBuiltin, 7> kHtmlFilters = {{
    {"e", escape_filter},
    {"escape", escape_filter},
    {"forceescape", force_escape},
    {"safe", safe},
    {"striptags", striptags},
    {"xmlattr", xmlattr},
    {"urlencode", urlencode},
}};

}  // namespace

MarkedText escape_text(const MarkedText& text) {
  MarkedText out;
  std::string_view rest = text.bytes();
  while (!rest.empty()) {
    const size_t n_plain = std::min(rest.find_first_of("&<>'\""), rest.size());
    out.append_part(text, rest.substr(0, n_plain));
    rest.remove_prefix(n_plain);
    if (rest.empty()) break;
    const auto* found = std::find_if(kEscapes.begin(), kEscapes.end(),
                                     [&](const Escape& e) { return e.character == rest[0]; });
    out.append(found->text, text.is_input(text.size() - rest.size()));
    rest.remove_prefix(1);
  }
  return out;
}

Result<Value> escape(Runtime& runtime, const Value& value) {
  if (value.is_safe()) return value;
  TRY(const MarkedText text, text_of(runtime, value));
  TRY([[maybe_unused]] const Ok paid, runtime.make(4 * text.size()));  // a quote takes five bytes
  return runtime.string(escape_text(text), true);
}

std::span<const NamedBuiltin> html_filters() { return kHtmlFilters; }

}  // namespace lockstep::jinja
