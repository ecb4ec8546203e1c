// Text that a template makes from the text of a message stays marked as input, and text that the
// template adds does not become input.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/text/utf8.h"
#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/chat_template.h"

namespace lockstep {
namespace {

MarkedText render(const std::string& expression, const std::string& content) {
  ChatTemplateInput input;
  input.messages = {{"user", content, ""}};
  const std::string source =
      "{% set c = messages[0].content %}{% set d = 'w' ~ c ~ 'w' %}{{ " + expression + " }}";
  auto parsed = ChatTemplate::parse(source);
  EXPECT_TRUE(parsed.has_value()) << expression << ": " << parsed.error().message;
  if (!parsed) return {};
  auto text = parsed->render(input);
  EXPECT_TRUE(text.has_value()) << expression << ": " << text.error().message;
  return text ? *text : MarkedText();
}

// The text, with brackets around input.
std::string marked(const std::string& expression, const std::string& content) {
  const MarkedText text = render(expression, content);
  std::string out;
  size_t at = 0;
  for (const ByteSpan span : text.input()) {
    out += text.bytes().substr(at, span.begin - at) + "«" +
           text.bytes().substr(span.begin, span.end - span.begin) + "»";
    at = span.end;
  }
  return out + text.bytes().substr(at);
}

TEST(JinjaMarks, ReadAsTheyShould) {
  EXPECT_EQ(marked("c", "ab"), "«ab»");
  EXPECT_EQ(marked("'x' ~ c ~ 1 ~ c", "ab"), "x«ab»1«ab»");
  EXPECT_EQ(marked("c.replace('b', '-')", "abc"), "«a»-«c»");
  EXPECT_EQ(marked("'a-b'.replace('-', c)", "+"), "a«+»b");
  EXPECT_EQ(marked("c | replace('b', '')", "abc"), "«ac»") << "cut apart and put together";
  EXPECT_EQ(marked("('x' ~ c ~ 'y')[1:-1]", "ab"), "«ab»");
  EXPECT_EQ(marked("('x' ~ c ~ 'y') | reverse", "ab"), "y«ba»x");
  EXPECT_EQ(marked("('ß' ~ c ~ 'ß') | upper", "ß"), "SS«SS»SS");
  EXPECT_EQ(marked("{'k': c} | tojson", "a\"b"), R"({"k": "«a\"b»"})");
  EXPECT_EQ(marked("c | tojson(ensure_ascii=true)", "é"), R"("«\u00e9»")");
  EXPECT_EQ(marked("[c]", "a'\n"), "[\"«a'\\n»\"]");
  EXPECT_EQ(marked("'%s, %5s|%-4s|%r' | format(c, c, c, c)", "ab"), "«ab»,    «ab»|«ab»  |'«ab»'");
  EXPECT_EQ(marked("c % ('x', 1)", "a%sb%d"), "«a»x«b»1");
  EXPECT_EQ(marked("'{0}-{0:>4}-{x!r}'.format(c, x=c)", "ab"), "«ab»-  «ab»-'«ab»'");
  EXPECT_EQ(marked("c | e", "a<b"), "«a&lt;b»");
  EXPECT_EQ(marked("'-'.join([c, 'x', c])", "a"), "«a»-x-«a»");
  EXPECT_EQ(marked("c.join(['x', 'y'])", "a"), "x«a»y");
  EXPECT_EQ(marked("c | indent(2)", "a\nb"), "«a»\n  «b»");
  EXPECT_EQ(marked("c | truncate(6, true, '..', 0)", "abcdefgh"), "«abcd»..");
  EXPECT_EQ(marked("'x'.center(3, c)", "-"), "«-»x«-»");
  EXPECT_EQ(marked("dict({'a': c}, b=c)", "v"), "{'a': '«v»', 'b': '«v»'}");
  EXPECT_EQ(marked("{c: 1}", "k"), "{'«k»': 1}");
  EXPECT_EQ(marked("{c: 1} | xmlattr", "k"), " «k»=\"1\"");
  EXPECT_EQ(marked("'x' * 2 ~ c * 2", "a"), "xx«aa»");
}

TEST(JinjaMarks, KeysGivenWithTwoStarsKeepTheirs) {
  ChatTemplateInput input;
  input.messages = {{"user", "key", ""}};
  const std::string source =
      "{% macro f() %}{{ kwargs }}{% endmacro %}{{ f(**{messages[0].content: 1}) }}"
      "{{ dict(**{messages[0].content: 1}) }}";
  const MarkedText text = ChatTemplate::parse(source).value().render(input).value();
  EXPECT_EQ(text.bytes(), "{'key': 1}{'key': 1}");
  EXPECT_EQ(text.input(), (std::vector<ByteSpan>{{2, 5}, {12, 15}}));
}

// ---- every filter and every method

// Letters that only the message has. They have two cases, so a change of case maps them to letters
// of the same kind.
bool is_the_messages(char32_t c) { return c >= 0x10400 && c <= 0x1044F; }
bool is_the_templates(char32_t c) { return c == 'w' || c == 'W'; }
const std::string kContent = "𐐨𐐀 <𐐀>\t𐐨&𐐨\n𐐀-𐐨 𐐨𐐀𐐨𐐀";

void expect_marks(const std::string& expression) {
  const MarkedText text = render(expression, kContent);
  std::string_view rest = text.bytes();
  while (!rest.empty()) {
    const utf8::Step step = utf8::next(rest);
    const size_t at = text.size() - rest.size();
    if (is_the_messages(step.code_point)) {
      for (size_t i = 0; i < step.n_bytes; ++i) {
        EXPECT_TRUE(text.is_input(at + i)) << expression << ": " << text.bytes();
      }
    } else if (is_the_templates(step.code_point)) {
      EXPECT_FALSE(text.is_input(at)) << expression << ": " << text.bytes();
    }
    rest.remove_prefix(step.n_bytes);
  }
}

// By name of the filter: an expression that shows that it keeps the marks. d has text of both
// kinds.
const std::multimap<std::string, std::string> kFilterExpressions = {
    {"abs", "-1 | abs"},
    {"attr", "namespace(t=c) | attr('w')"},
    {"batch", "c.split() | batch(2, 'w' ~ c) | list"},
    {"capitalize", "d | capitalize"},
    {"center", "d | center(90)"},
    {"count", "d | count"},
    {"d", "c | d('w')"},
    {"d", "nope | d(d)"},
    {"default", "nope | default(d)"},
    {"default", "'' | default(d, true)"},
    {"dictsort", "{'w': c, c: 'w'} | dictsort"},
    {"dictsort", "{'w': c, c: 'w'} | dictsort(by='value')"},
    {"e", "d | e"},
    {"escape", "d | escape ~ d"},
    {"filesizeformat", "1000 | filesizeformat"},
    {"first", "[d] | first"},
    {"first", "c | first"},
    {"float", "c | float(d)"},
    {"forceescape", "(d | e) | forceescape"},
    {"format", "d | format"},
    {"format", "'w%sw' | format(d)"},
    {"format", "'w%(x)rw' | format(x=d)"},
    {"format", "'w%cw%.3sw' | format(c[0], c)"},
    {"groupby", "[{'a': c, 'b': d}, {'a': 'w'}] | groupby('a')"},
    {"groupby", "[{'b': d}] | groupby('a', default=c)"},
    {"indent", "d | indent(2, true, true)"},
    {"indent", "d | indent(c)"},
    {"int", "c | int(d)"},
    {"items", "{c: d, 'w': c} | items"},
    {"join", "[c, d, 'w'] | join('w')"},
    {"join", "['w', 'w'] | join(c)"},
    {"join", "[{'a': c}, {'a': 'w'}] | join('w', 'a')"},
    {"last", "[d] | last"},
    {"length", "d | length"},
    {"list", "d | list"},
    {"lower", "d | lower"},
    {"map", "[c, 'w'] | map('upper') | list"},
    {"map", "[{'a': c}, {}] | map(attribute='a', default=d) | list"},
    {"max", "[c, 'w'] | max"},
    {"max", "[c, d] | max"},
    {"min", "[c, 'w'] | min"},
    {"min", "[c, d] | min"},
    {"reject", "[c, d, 'w'] | reject('none') | list"},
    {"rejectattr", "[{'a': c, 'w': 1}] | rejectattr('b') | list"},
    {"replace", "d | replace('w', c)"},
    {"replace", "d | replace('-', 'w')"},
    {"reverse", "d | reverse"},
    {"reverse", "[c, 'w'] | reverse | list"},
    {"round", "1.5 | round"},
    {"safe", "(d | safe) + 'w<' + d"},
    {"select", "[c, d, 'w'] | select | list"},
    {"selectattr", "[{'a': c, 'w': d}] | selectattr('a') | list"},
    {"slice", "c.split() | slice(3, 'w') | list"},
    {"sort", "[d, c, 'w'] | sort"},
    {"sort", "[{'a': c, 'b': 'w'}] | sort(attribute='a,b')"},
    {"string", "[d] | string"},
    {"striptags",
     "('w<b>' ~ d ~ '</b>&amp; w' ~ c.replace('&', '&lt;')) | replace('&𐐨', '') | striptags"},
    {"sum", "[[c], ['w']] | sum(start=[])"},
    {"title", "d | title"},
    {"tojson", "{c: d, 'w': [c]} | tojson"},
    {"tojson", "[c, 'w'] | tojson(indent=c.split()[0], separators=(c[0], 'w'))"},
    {"trim", "d | trim('w')"},
    {"truncate", "d | truncate(9)"},
    {"truncate", "d | truncate(9, true, c[:3])"},
    {"unique", "[c, c, d, 'w'] | unique | list"},
    {"upper", "d | upper"},
    {"urlencode", "'w' | urlencode"},
    {"wordcount", "d | wordcount"},
    {"wordwrap", "d | wordwrap(4)"},
    {"wordwrap", "d | wordwrap(4, wrapstring=c)"},
    {"xmlattr", "{'w': d} | xmlattr"},
};

const std::multimap<std::string, std::string> kMethodExpressions = {
    {"capitalize", "d.capitalize()"},
    {"casefold", "d.casefold()"},
    {"center", "d.center(90, c[0])"},
    {"count", "d.count(c)"},
    {"endswith", "d.endswith(c)"},
    {"expandtabs", "d.expandtabs(3)"},
    {"find", "d.find(c)"},
    {"format", "'w{0}w{x}w{0[2]}'.format(d, x=c)"},
    {"format", "'w{:𐐀>90}w'.replace('𐐀', 'w').format(d)"},
    {"format", "('w{:' ~ c[0] ~ '>90}w').format(d)"},
    {"index", "d.index(c)"},
    {"isalnum", "d.isalnum()"},
    {"isalpha", "d.isalpha()"},
    {"isascii", "d.isascii()"},
    {"isdecimal", "d.isdecimal()"},
    {"isdigit", "d.isdigit()"},
    {"islower", "d.islower()"},
    {"isnumeric", "d.isnumeric()"},
    {"isprintable", "d.isprintable()"},
    {"isspace", "d.isspace()"},
    {"istitle", "d.istitle()"},
    {"isupper", "d.isupper()"},
    {"join", "c.join(['w', d])"},
    {"join", "'w'.join(c)"},
    {"ljust", "d.ljust(90, c[0])"},
    {"lower", "d.lower()"},
    {"lstrip", "d.lstrip('w')"},
    {"partition", "d.partition('-')"},
    {"removeprefix", "d.removeprefix('w')"},
    {"removesuffix", "d.removesuffix('w')"},
    {"replace", "d.replace('w', c).replace(c[0], 'w')"},
    {"replace", "c.replace('', 'w')"},
    {"rfind", "d.rfind(c)"},
    {"rindex", "d.rindex(c)"},
    {"rjust", "d.rjust(90, 'w')"},
    {"rpartition", "d.rpartition('-')"},
    {"rsplit", "d.rsplit(none, 2)"},
    {"rsplit", "d.rsplit('-')"},
    {"rstrip", "d.rstrip('w')"},
    {"split", "d.split()"},
    {"split", "d.split('-', 1)"},
    {"splitlines", "d.splitlines(true)"},
    {"startswith", "d.startswith(c)"},
    {"strip", "d.strip('w')"},
    {"swapcase", "d.swapcase()"},
    {"title", "d.title()"},
    {"upper", "d.upper()"},
    {"zfill", "c.zfill(90)"},
};

// Every builtin of the families must be in the table, and its expressions must keep the marks.
void expect_all(std::initializer_list<std::span<const jinja::NamedBuiltin>> families,
                const std::multimap<std::string, std::string>& expressions) {
  std::set<std::string> known;
  for (const auto family : families) {
    for (const jinja::NamedBuiltin& builtin : family) {
      known.emplace(builtin.name);
      EXPECT_GT(expressions.count(std::string(builtin.name)), 0u) << builtin.name;
    }
  }
  for (const auto& [name, expression] : expressions) {
    EXPECT_EQ(known.count(name), 1u) << name;
    expect_marks(expression);
  }
}

TEST(JinjaMarks, EveryFilterKeepsThem) {
  expect_all({jinja::string_filters(), jinja::wrapping_filters(), jinja::value_filters(),
              jinja::html_filters(), jinja::sequence_filters(), jinja::order_filters()},
             kFilterExpressions);
}

TEST(JinjaMarks, EveryMethodOfStringsKeepsThem) {
  expect_all({jinja::string_methods(), jinja::string_query_methods()}, kMethodExpressions);
}

}  // namespace
}  // namespace lockstep
