// OpenAI request bodies: the wire field that each JSON field is parsed to.
#include "tests/unit/coordinator/openai_bodies.h"

namespace lockstep::testing {
namespace {

TEST(OpenAiRequest, AbsentFieldsAreOpenAisDefaults) {
  const wire::Generate g = chat_fields("");
  EXPECT_EQ(g.model, "m");
  EXPECT_FALSE(g.max_tokens.has_value());
  EXPECT_FALSE(g.temperature);  // the node knows the model's default
  EXPECT_FALSE(g.top_p);
  EXPECT_FALSE(g.min_p);
  EXPECT_FALSE(g.top_k);
  EXPECT_FALSE(g.repetition_penalty);
  EXPECT_EQ(g.n, 1);
  EXPECT_FALSE(g.seed.has_value());
  EXPECT_EQ(g.logprobs, -1);
  EXPECT_TRUE(g.cache_prompt);
  EXPECT_EQ(g.cache_salt, "");
  ASSERT_TRUE(g.messages.has_value());
  EXPECT_EQ(g.messages->front().content, "Hi");
  EXPECT_FALSE(completion_fields("").max_tokens.has_value());
}

TEST(OpenAiRequest, NullIsAbsent) {
  const auto request = parse_chat_request(
      chat(R"("temperature":null,"max_tokens":null,"stop":null,"seed":null,"stream":null,
              "stream_options":null,"tools":null,"response_format":null,"logit_bias":null)"));
  EXPECT_FALSE(accepted(request).temperature);
}

TEST(OpenAiRequest, EveryFieldArrives) {
  const wire::Generate g = chat_fields(
      R"("max_tokens":7,"min_tokens":2,"temperature":0,"top_p":0.5,"min_p":0.25,"top_k":40,
         "repetition_penalty":1.5,"presence_penalty":-2,"frequency_penalty":2,"seed":-1,"n":3,
         "stop":["a","b"],"stop_token_ids":[1,2],"include_stop_str_in_output":true,
         "skip_special_tokens":false,"ignore_eos":true,"cache_prompt":false,"cache_salt":"acmé",
         "return_token_ids":true,"logprobs":true,"top_logprobs":5,"tenant":"gold","priority":3,
         "deadline_ms":1500,"cache_retention":{"priority":80,"seconds":60})");
  EXPECT_EQ(g.max_tokens, 7);
  EXPECT_EQ(g.min_tokens, 2);
  EXPECT_EQ(g.temperature, 0.0);
  EXPECT_EQ(g.top_p, 0.5);
  EXPECT_EQ(g.min_p, 0.25);
  EXPECT_EQ(g.top_k, 40);
  EXPECT_EQ(g.repetition_penalty, 1.5);
  EXPECT_EQ(g.presence_penalty, -2.0);
  EXPECT_EQ(g.frequency_penalty, 2.0);
  EXPECT_EQ(g.seed, static_cast<uint64_t>(-1));
  EXPECT_EQ(g.n, 3);
  EXPECT_EQ(g.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(g.stop_token_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_TRUE(g.include_stop_str_in_output);
  EXPECT_FALSE(g.skip_special_tokens);
  EXPECT_TRUE(g.ignore_eos);
  EXPECT_FALSE(g.cache_prompt);
  EXPECT_EQ(g.cache_salt, "acmé");
  EXPECT_EQ(g.tenant, "gold");
  EXPECT_EQ(g.priority, 3);
  EXPECT_EQ(g.deadline_ms, 1500);
  ASSERT_TRUE(g.cache_retention);
  EXPECT_EQ(g.cache_retention->priority, 80);
  EXPECT_EQ(g.cache_retention->seconds, 60);
  EXPECT_TRUE(g.return_token_ids);
  EXPECT_EQ(g.logprobs, 5);
}

TEST(OpenAiRequest, MaxCompletionTokensWinsOverMaxTokens) {
  EXPECT_EQ(chat_fields(R"("max_tokens":3,"max_completion_tokens":5)").max_tokens, 5);
  EXPECT_EQ(chat_fields(R"("max_completion_tokens":5,"max_tokens":3)").max_tokens, 5);
}

TEST(OpenAiRequest, WholeNumbersMayBeWrittenAsFloats) {
  EXPECT_EQ(chat_fields(R"("max_tokens":16.0)").max_tokens, 16);
}

TEST(OpenAiRequest, TopKMinusOneIsOff) { EXPECT_EQ(chat_fields(R"("top_k":-1)").top_k, 0); }

TEST(OpenAiRequest, AStopStringMayStandAlone) {
  EXPECT_EQ(chat_fields(R"("stop":"END")").stop, (std::vector<std::string>{"END"}));
}

TEST(OpenAiRequest, LogprobsAreASwitchForChatAndACountForCompletions) {
  EXPECT_EQ(chat_fields(R"("logprobs":true)").logprobs, 0);
  EXPECT_EQ(chat_fields(R"("logprobs":false)").logprobs, -1);
  EXPECT_EQ(completion_fields(R"("logprobs":3)").logprobs, 3);
  EXPECT_EQ(completion_fields(R"("logprobs":0)").logprobs, 0);
}

TEST(OpenAiRequest, UnknownFieldsAreIgnored) {
  chat_fields(R"("user":"u","metadata":{"a":1},"nobody_knows":[[]])");
}

TEST(OpenAiRequest, StreamOptionsTravelWithAStream) {
  const auto request =
      parse_chat_request(chat(R"("stream":true,"stream_options":{"include_usage":true})"));
  ASSERT_TRUE(request.has_value());
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->include_usage);
}

TEST(OpenAiRequest, TextPartsAreJoinedByNewlines) {
  const auto request = parse_chat_request(
      R"({"model":"m","messages":[{"role":"developer","content":"S"},{"role":"user","name":"bob",
          "content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]})");
  const wire::Generate g = accepted(request);
  ASSERT_TRUE(g.messages.has_value());
  EXPECT_EQ((*g.messages)[0].role, "system");
  EXPECT_EQ((*g.messages)[1].content, "a\nb");
  EXPECT_EQ((*g.messages)[1].name, "bob");
}

// An assistant's earlier messages have the form in which clients have stored them.
TEST(OpenAiRequest, AnAssistantsTurnMayBeEmptyOrARefusal) {
  const std::pair<const char*, const char*> turns[] = {
      {R"("content":null)", ""},
      {R"("name":"bot")", ""},
      {R"("content":[])", ""},
      {R"("content":"")", ""},
      {R"("content":"a","refusal":null,"tool_calls":null,"audio":null)", "a"},
      {R"("content":null,"refusal":"no")", "no"},
      {R"("content":[],"refusal":"no")", "no"},
      {R"("content":[{"type":"refusal","refusal":"no"}])", "no"},
      {R"("content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"no"}])", "a\nno"},
  };
  for (const auto& [fields, content] : turns) {
    const wire::Generate g = accepted(parse_chat_request(
        R"({"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant",)" +
        std::string(fields) + "}]}"));
    ASSERT_TRUE(g.messages.has_value()) << fields;
    EXPECT_EQ(g.messages->at(1).content, content) << fields;
  }
}

TEST(OpenAiRequest, TopPIsTakenFromZeroToOneAsOverZeroMq) {
  EXPECT_EQ(chat_fields(R"("top_p":0)").top_p, 0.0);
  EXPECT_EQ(completion_fields(R"("top_p":0.0)").top_p, 0.0);
  EXPECT_EQ(completion_fields(R"("top_p":1)").top_p, 1.0);
}

TEST(OpenAiRequest, PromptsComeInFourShapes) {
  const auto parse = [](const std::string& prompt) {
    return parse_completion_request(R"({"model":"m","n":2,"prompt":)" + prompt + "}");
  };
  const auto text = parse(R"("Hi")");
  EXPECT_EQ(accepted(text).prompt_text, "Hi");
  const auto texts = parse(R"(["a","b"])");
  ASSERT_TRUE(texts.has_value());
  ASSERT_EQ(texts->prompts.size(), 2u);
  EXPECT_EQ(texts->prompts[1].prompt_text, "b");
  EXPECT_EQ(texts->prompts[1].n, 2);
  const auto ids = parse("[1,2,3]");
  EXPECT_EQ(accepted(ids).prompt_ids, (std::vector<int32_t>{1, 2, 3}));
  const auto lists = parse("[[1],[2,3]]");
  ASSERT_TRUE(lists.has_value());
  ASSERT_EQ(lists->prompts.size(), 2u);
  EXPECT_EQ(lists->prompts[1].prompt_ids, (std::vector<int32_t>{2, 3}));
  EXPECT_FALSE(lists->prompts[1].prompt_text.has_value());
}

TEST(TokenizeRequest, TakesATextOrMessages) {
  const auto text = parse_tokenize_request(R"({"prompt":"Hi","add_special_tokens":false,
                                               "return_token_strs":true})");
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(text->prompt, "Hi");
  EXPECT_FALSE(text->add_special_tokens);
  EXPECT_TRUE(text->return_token_strs);
  const auto chat_text =
      parse_tokenize_request(R"({"model":"m","messages":[{"role":"user","content":"x"}]})");
  ASSERT_TRUE(chat_text.has_value());
  EXPECT_FALSE(chat_text->prompt.has_value());
  EXPECT_EQ(chat_text->messages->size(), 1u);
}

TEST(TokenizeRequest, NeedsExactlyOne) {
  for (const char* body :
       {"{}", R"({"prompt":5})", R"({"prompt":"a","messages":[{"role":"user","content":"x"}]})"}) {
    const auto request = parse_tokenize_request(body);
    ASSERT_FALSE(request.has_value()) << body;
    EXPECT_EQ(request.error().param, "prompt");
  }
}

TEST(DetokenizeRequest, TakesTokenIds) {
  const auto request = parse_detokenize_request(R"({"tokens":[1,2]})");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->tokens, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(parse_detokenize_request("{}").error().param, "tokens");
  EXPECT_EQ(parse_detokenize_request(R"({"tokens":["a"]})").error().param, "tokens[0]");
}

}  // namespace
}  // namespace lockstep::testing
