// Compares renders with those of Python's jinja2 (tests/golden/generate_templates.py).
#include <gtest/gtest.h>

#include "node/text/jinja/chat_template.h"
#include "tests/unit/text/golden_file.h"

namespace lockstep {
namespace {

using nlohmann::json;

ChatTemplateInput input_of(const json& messages, bool add_generation_prompt = true) {
  ChatTemplateInput input;
  for (const json& message : messages) {
    input.messages.push_back(
        {message.at("role"), message.at("content"), message.value("name", std::string())});
  }
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.add_generation_prompt = add_generation_prompt;
  return input;
}

// The rendered text, or "error: …".
std::string outcome(const std::string& source, const ChatTemplateInput& input) {
  auto parsed = ChatTemplate::parse(source);
  if (!parsed) {
    EXPECT_EQ(parsed.error().code, ErrorCode::kModelLoadFailed);
    return "error: " + parsed.error().message;
  }
  auto text = parsed->render(input);
  if (!text) {
    EXPECT_EQ(text.error().code, ErrorCode::kInvalidRequest);
    return "error: " + text.error().message;
  }
  return text->bytes();
}

void expect_golden(const json& golden, const std::string& ours, const std::string& what) {
  if (golden.contains("error")) {
    EXPECT_EQ(ours.substr(0, 7), "error: ") << what << "\nrendered: " << ours;
  } else {
    EXPECT_EQ(ours, golden.at("text").get<std::string>()) << what;
  }
}

TEST(ChatTemplateGolden, EveryStyleRendersEveryConversationAsJinja2) {
  const json golden = testing::golden_file("templates.json");
  for (const json& render : golden.at("renders")) {
    const std::string style = render.at("style"), conversation = render.at("conversation");
    const ChatTemplateInput input =
        input_of(golden.at("conversations").at(conversation), render.at("add_generation_prompt"));
    expect_golden(render, outcome(golden.at("styles").at(style), input),
                  style + " / " + conversation);
  }
}

TEST(ChatTemplateGolden, EveryCornerOfTheLanguageIsAsInJinja2) {
  const json golden = testing::golden_file("templates.json");
  const ChatTemplateInput input = input_of(golden.at("snippet_messages"));
  for (const json& snippet : golden.at("snippets")) {
    const std::string source = snippet.at("template");
    expect_golden(snippet, outcome(source, input), source);
  }
}

}  // namespace
}  // namespace lockstep
