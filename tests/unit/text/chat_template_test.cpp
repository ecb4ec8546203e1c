// The things that a chat template may not do, and the errors for them.
#include "node/text/jinja/chat_template.h"

#include <gtest/gtest.h>

#include <thread>

namespace lockstep {
namespace {

ChatTemplateInput one_question(std::string content = "Hi") {
  ChatTemplateInput input;
  input.messages = {{"user", std::move(content), ""}};
  return input;
}

std::string syntax_error(const std::string& source) {
  const auto parsed = ChatTemplate::parse(source);
  if (parsed) return "accepted";
  EXPECT_EQ(parsed.error().code, ErrorCode::kModelLoadFailed);
  return parsed.error().message;
}

Error render_error(const std::string& source, const ChatTemplateInput& input = one_question()) {
  auto parsed = ChatTemplate::parse(source);
  if (!parsed) return parsed.error();
  auto text = parsed->render(input);
  if (text) return Error{ErrorCode::kInternal, "rendered " + std::to_string(text->size()), {}};
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidRequest);
  return text.error();
}

std::string render(const std::string& source, const ChatTemplateInput& input = one_question()) {
  return ChatTemplate::parse(source).value().render(input).value().bytes();
}

std::string repeat(std::string_view text, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

TEST(ChatTemplate, SyntaxErrorsTellLineAndColumn) {
  EXPECT_EQ(syntax_error("a\n  {% if x %}\n {{ 1 + }}{% endif %}"),
            "chat template, line 3 column 9: expected an expression, found '}}'");
  EXPECT_EQ(syntax_error("{% if x %}\nb"),
            "chat template, line 2 column 2: expected {% endif %}, found the end of the template");
  EXPECT_EQ(syntax_error("é{{ 'abc }}"), "chat template, line 1 column 5: string without an end");
  EXPECT_EQ(syntax_error("{% include 'x' %}"),
            "chat template, line 1 column 4: expected a tag that this interpreter knows, found "
            "'include'");
  EXPECT_EQ(syntax_error("{{ (1] }}"), "chat template, line 1 column 6: unexpected ']'");
}

TEST(ChatTemplate, RenderErrorsTellTheLine) {
  EXPECT_EQ(render_error("\n\n{{ nope.x }}").message,
            "chat template, line 3: 'nope' is undefined, so it has no .x");
  EXPECT_EQ(render_error("{% if true %}\n{{ 'a' | nope }}{% endif %}").message,
            "chat template, line 2: there is no filter 'nope'");
  EXPECT_EQ(render_error("{{ nope.x }}").param, "messages");
}

TEST(ChatTemplate, WhatTheTemplateRaisesIsTheUsersToRead) {
  EXPECT_EQ(render_error("{{ raise_exception('Roles must alternate.') }}").message,
            "the model's chat template refuses these messages: Roles must alternate.");
}

TEST(ChatTemplate, ABranchNotTakenMayUseWhatIsNotThere) {
  EXPECT_EQ(render("{% if tools %}{{ tools | batch(2) }}{% endif %}ok"), "ok");
}

TEST(ChatTemplate, WhatDoesNotExistIsFoundWhenTheTemplateIsRead) {
  EXPECT_EQ(syntax_error("a\n{{ x | trim | nope }}"),
            "chat template, line 2 column 15: there is no filter 'nope'");
  EXPECT_EQ(syntax_error("{{ x is nope }}"),
            "chat template, line 1 column 9: there is no test 'nope'");
  EXPECT_EQ(syntax_error("{{ nope(1) }}"),
            "chat template, line 1 column 9: there is no function 'nope'");
  EXPECT_EQ(syntax_error("{% for m in messages %}{{ m.content | pprint }}{% endfor %}"),
            "chat template, line 1 column 39: there is no filter 'pprint'");
}

TEST(ChatTemplate, ATemplateMayAskFirstWhatExists) {
  EXPECT_EQ(render("{% if 'nope' is filter %}{{ 1 | nope }}{% else %}without{% endif %}"),
            "without");
  EXPECT_EQ(render("{{ (1 | nope) if 'nope' is filter else 'without' }}"), "without");
  EXPECT_EQ(render("{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}x"), "x");
  EXPECT_EQ(render("{{ strftime_now is defined and strftime_now('%Y') }}"), "False");
  EXPECT_EQ(render("{% macro f() %}{{ later() }}{% endmacro %}{% macro later() %}y{% endmacro %}"
                   "{{ f() }}{{ later() }}"),
            "yy");
}

TEST(ChatTemplate, TextInMessagesIsNeverATemplate) {
  const std::string content = "{{ 1 }}{% if x %}{# c #}";
  EXPECT_EQ(render("{{ messages[0].content }}", one_question(content)), content);
}

TEST(ChatTemplate, ARangeUpToNothingIsAnError) {
  for (const char* arguments : {"nope", "1, nope", "1, 2, nope", "none", "1, stop=3", "'3'"}) {
    const std::string source = "{{ range(" + std::string(arguments) + ") }}";
    EXPECT_EQ(render_error(source).message, "chat template, line 1: range() takes integers");
  }
  EXPECT_EQ(render("{{ range(2) }}{{ range(1, 3) }}{{ range(3, 0, -2) }}"), "[0, 1][1, 2][3, 1]");
}

TEST(ChatTemplate, LongTextIsIndentedToo) {  // a bug: lines outlived their text
  const std::string line = repeat("long enough not to be stored in place ", 8);
  EXPECT_EQ(render("{{ messages[0].content | indent(2) }}", one_question(line + "\n" + line)),
            line + "\n  " + line);
}

TEST(ChatTemplate, EndlessWorkIsEnded) {
  const std::string loops = "{% set many = range(10000) %}" + repeat("{% for i in many %}", 3);
  const std::string busy = render_error(loops + "x" + repeat("{% endfor %}", 3)).message;
  EXPECT_NE(busy.find("steps"), std::string::npos) << busy;
  const std::string idle = render_error(loops + repeat("{% endfor %}", 3)).message;
  EXPECT_NE(idle.find("steps"), std::string::npos) << idle;
}

TEST(ChatTemplate, EndlessTextIsEnded) {
  for (const char* source :
       {"{{ 'abc' * 1000000000000 }}",
        "{{ [1] * 1000000000000 }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}"
        "{% endfor %}",
        "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}",
        "{% set x = 'a' * 1000000 %}{{ (x | list) | join(x) }}",
        "{% for i in range(1000) %}{{ 'x' * 1000000 }}{% endfor %}",
        "{{ 'x'.center(1000000000000) }}",
        "{{ 'x'.ljust(9223372036854775807, 'é') }}",
        "{{ 'x'.zfill(1000000000000) }}",
        "{{ 'x' | center(1000000000000) }}",
        "{{ [1] | batch(1000000000000, 'x') }}",
        "{{ [1] | slice(1000000000000) }}",
        "{% set x = '\n' * 1000000 %}{{ x | indent(1000, true, true) }}",
        "{% set x = '\n' * 1000000 %}{{ x | indent(x, true, true) }}",
        "{% set x = '\t' * 1000000 %}{{ x.expandtabs(1000) }}",
        "{% set x = '%s' * 20000 %}{{ x | format(*(['y' * 10000] * 20000)) }}",
        "{% set x = '{0}' * 100000 %}{{ x.format('y' * 10000) }}",
        "{% set x = ('é' * 1000000) | list %}{{ x | tojson(indent=64) }}",
        "{% set x = '<' * 60000000 %}{{ x | e }}",
        "{% set x = 'é' * 50000000 %}{{ x | urlencode }}"}) {
    EXPECT_NE(render_error(source).message.find("bytes"), std::string::npos)
        << source << "\n"
        << render_error(source).message;
  }
}

TEST(ChatTemplate, ValuesThatUnfoldWithoutEndAreRefused) {
  // Shared lists take no memory; written out, the value would be 2^99 times as large.
  const std::string unfold =
      "{% set ns = namespace(x=['a']) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}";
  EXPECT_NE(render_error(unfold + "{{ ns.x }}").message, "");
  const std::string deepen =
      "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}"
      "{% endfor %}{{ ns.x | tojson }}";
  EXPECT_NE(render_error(deepen).message.find("nested deeper"), std::string::npos);
}

TEST(ChatTemplate, ANamespaceCannotHoldItself) {
  for (const char* source : {"{% set ns = namespace() %}{% set ns.x = ns %}",
                             "{% set ns = namespace() %}{% set ns.x = [ns] %}",
                             "{% set ns = namespace() %}{% set ns.x = {'a': ns} %}",
                             "{% set a = namespace() %}{% set b = namespace(x=a) %}"}) {
    EXPECT_NE(render_error(source).message.find("namespace"), std::string::npos) << source;
  }
}

TEST(ChatTemplate, DeepNestingIsRefusedWhenItIsRead) {
  for (const auto& [open, middle, close] : {std::tuple("(", "1", ")"),
                                            {"[", "", "]"},
                                            {"{1:", "1", "}"},
                                            {"not ", "1", ""},
                                            {"-", "1", ""},
                                            {"1 if 1 else ", "1", ""},
                                            {"f(", "", ")"},
                                            {"a[", "1", "]"},
                                            {"1 + (", "1", ")"}}) {
    const std::string source =
        "{{ " + repeat(open, 20'000) + middle + repeat(close, 20'000) + " }}";
    EXPECT_NE(syntax_error(source).find("nested too deep"), std::string::npos) << open;
  }
  EXPECT_NE(syntax_error(repeat("{% if 1 %}", 20'000)).find("nested too deep"), std::string::npos);
  EXPECT_NE(syntax_error(repeat("{% for i in x %}", 20'000)).find("nested too deep"),
            std::string::npos);
}

TEST(ChatTemplate, LongChainsEndInAnErrorNotInACrash) {
  for (const auto& [first, more] : {std::pair("1", " + 1"),
                                    {"'a'", " ~ 'a'"},
                                    {"x", ".a"},
                                    {"'a'", "|upper"},
                                    {"1", " if 1"},
                                    {"1", " and 1"},
                                    {"x", "[0]"},
                                    {"1", " is eq(1)"},
                                    {"x.y", "()"}}) {
    const std::string source = "{{ " + std::string(first) + repeat(more, 50'000) + " }}";
    EXPECT_NE(render_error(source).message.find("nested too deep"), std::string::npos) << more;
  }
  EXPECT_EQ(render("{% if 0 %}" + repeat("{% elif 0 %}", 50'000) + "{% else %}x{% endif %}"), "x");
}

TEST(ChatTemplate, EndlessRecursionOfMacrosIsEnded) {
  EXPECT_NE(render_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").message.find("nested"),
            std::string::npos);
}

TEST(ChatTemplate, EndlessRecursionOfLoopsIsEnded) {
  const std::string message =
      render_error("{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}").message;
  EXPECT_NE(message.find("nested"), std::string::npos) << message;
}

TEST(ChatTemplate, AnExcessiveWidthIsRefused) {
  for (const char* source :
       {"{{ '%99999999d' % 1 }}", "{{ '%.9999f' % 1 }}", "{{ '%*d' % (9999999, 1) }}",
        "{{ '{:99999999}'.format('x') }}", "{{ '{:.9999f}'.format(1) }}",
        "{{ '{:{:{:{}}}}'.format(1, 2, 3, 4) }}", "{{ [1] | tojson(indent=1000) }}",
        "{{ 1 | round(999999) }}"}) {
    EXPECT_NE(render_error(source).message.find("chat template, line 1"), std::string::npos)
        << source;
  }
}

TEST(ChatTemplate, AHugeSourceIsNotRead) {
  EXPECT_NE(syntax_error(std::string(2'000'000, 'x')).find("2000000 bytes"), std::string::npos);
}

TEST(ChatTemplate, ALongConversationIsWellWithinTheBounds) {
  ChatTemplateInput input;
  for (int i = 0; i < 5'000; ++i) {
    input.messages.push_back({i % 2 == 0 ? "user" : "assistant", std::string(500, 'x'), ""});
  }
  const std::string text = render(
      "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
      "{{ raise_exception('alternate') }}{% endif %}{{ '<' + m.role + '>' + m.content | trim }}"
      "{% endfor %}",
      input);
  EXPECT_EQ(text.size(), 5'000u * 500 + 2'500 * (6 + 11));
}

TEST(ChatTemplate, ManyThreadsMayRenderOne) {
  const ChatTemplate shared =
      ChatTemplate::parse("{% set x = 'a' ~ messages[0].content %}{{ x | upper }}").value();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) EXPECT_EQ(shared.render(one_question()).value().bytes(), "AHI");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace lockstep
