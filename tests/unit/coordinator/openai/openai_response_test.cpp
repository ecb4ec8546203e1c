// OpenAI answers, compared with whole JSON texts.
#include "coordinator/openai/openai_response.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "common/text/utf8.h"
#include "coordinator/http/http_error.h"

namespace lockstep {
namespace {

OpenAiRequest request(OpenAiEndpoint endpoint, size_t n_prompts = 1, int64_t n = 1) {
  OpenAiRequest out;
  out.endpoint = endpoint;
  wire::Generate generate;
  generate.model = "m";
  generate.n = n;
  out.prompts.assign(n_prompts, generate);
  return out;
}

AnswerHeader header() { return {.id = "id-1", .created = 17}; }

wire::Tokens piece(uint32_t choice, std::vector<int32_t> ids, std::string text) {
  wire::Tokens tokens;
  tokens.choice = choice;
  tokens.ids = std::move(ids);
  tokens.text = std::move(text);
  return tokens;
}

wire::Tokens last(uint32_t choice, std::string text, const char* reason) {
  wire::Tokens tokens = piece(choice, {}, std::move(text));
  tokens.finish_reason = reason;
  return tokens;
}

wire::Done done(uint64_t prompt, uint64_t cached, uint64_t completion) {
  return {"0", "stop", {prompt, cached, completion}};
}

wire::TokenLogprobs token(std::string bytes, float logprob) {
  return {std::move(bytes), logprob, {}};
}

TEST(WholeAnswer, ChatHasEveryKeyThatTheSpecificationRequires) {
  WholeAnswer answer(request(OpenAiEndpoint::kChatCompletions), header());
  answer.tokens(0, piece(0, {5}, "Hel"));
  answer.tokens(0, last(0, "lo", "stop"));
  EXPECT_FALSE(answer.complete());
  answer.done(done(10, 8, 2));
  EXPECT_TRUE(answer.complete());
  EXPECT_EQ(answer.body(),
            R"({"id":"id-1","object":"chat.completion","created":17,"model":"m","choices":[)"
            R"({"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},)"
            R"("logprobs":null,"finish_reason":"stop","stop_reason":null}],)"
            R"("usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,)"
            R"("prompt_tokens_details":{"cached_tokens":8}}})");
}

TEST(WholeAnswer, CompletionsNumberChoicesPromptByPrompt) {
  WholeAnswer answer(request(OpenAiEndpoint::kCompletions, 2, 2), header());
  answer.tokens(1, last(1, "d", "length"));
  answer.tokens(0, last(1, "b", "stop"));
  answer.tokens(1, last(0, "c", "stop"));
  answer.tokens(0, last(0, "a", "stop"));
  answer.done(done(3, 0, 2));
  answer.done(done(4, 1, 2));
  EXPECT_EQ(
      answer.body(),
      R"({"id":"id-1","object":"text_completion","created":17,"model":"m","choices":[)"
      R"({"index":0,"text":"a","logprobs":null,"finish_reason":"stop","stop_reason":null},)"
      R"({"index":1,"text":"b","logprobs":null,"finish_reason":"stop","stop_reason":null},)"
      R"({"index":2,"text":"c","logprobs":null,"finish_reason":"stop","stop_reason":null},)"
      R"({"index":3,"text":"d","logprobs":null,"finish_reason":"length","stop_reason":null}],)"
      R"("usage":{"prompt_tokens":7,"completion_tokens":4,"total_tokens":11,)"
      R"("prompt_tokens_details":{"cached_tokens":1}}})");
}

TEST(WholeAnswer, StopReasonIsWhatTheClientAskedToStopAt) {
  OpenAiRequest asked = request(OpenAiEndpoint::kCompletions);
  asked.prompts[0].stop_token_ids = {7};
  const auto stop_reason = [&](std::optional<std::string> text, std::optional<int32_t> token) {
    WholeAnswer answer(asked, header());
    wire::Tokens tokens = last(0, "", "stop");
    tokens.stop_string = std::move(text);
    tokens.stop_token = token;
    answer.tokens(0, tokens);
    return nlohmann::json::parse(answer.body())["choices"][0]["stop_reason"];
  };
  EXPECT_EQ(stop_reason("END", std::nullopt), "END");
  EXPECT_EQ(stop_reason(std::nullopt, 7), 7);
  EXPECT_EQ(stop_reason(std::nullopt, 2), nullptr);  // the model's own end of text
}

TEST(WholeAnswer, TokenIdsComeWhenAskedFor) {
  for (auto endpoint : {OpenAiEndpoint::kChatCompletions, OpenAiEndpoint::kCompletions}) {
    OpenAiRequest asked = request(endpoint);
    asked.prompts[0].return_token_ids = true;
    WholeAnswer answer(asked, header());
    answer.accepted(0, {"0", 1, "", {11, 12}, 2});
    answer.tokens(0, piece(0, {5, 6}, "x"));
    answer.done(done(2, 0, 2));
    const auto body = nlohmann::json::parse(answer.body());
    const bool is_chat = endpoint == OpenAiEndpoint::kChatCompletions;
    const auto& holder = is_chat ? body : body["choices"][0];
    EXPECT_EQ(holder["prompt_token_ids"], (std::vector<int>{11, 12}));
    EXPECT_EQ(body["choices"][0]["token_ids"], (std::vector<int>{5, 6}));
  }
}

TEST(WholeAnswer, BrokenUtf8FromANodeStillGivesJson) {
  WholeAnswer answer(request(OpenAiEndpoint::kCompletions), header());
  answer.tokens(0, last(0, "\xff", "stop"));
  EXPECT_EQ(nlohmann::json::parse(answer.body())["choices"][0]["text"], "\xEF\xBF\xBD");
}

TEST(StreamedAnswer, ChatOpensWithTheRoleAndEndsWithUsage) {
  OpenAiRequest asked = request(OpenAiEndpoint::kChatCompletions);
  asked.include_usage = true;
  StreamedAnswer answer(asked, header());
  std::vector<StreamChunk> out;
  answer.accepted(0, {"0", 1, "", {}, 3}, out);
  answer.tokens(0, piece(0, {5}, "Hi"), out);
  answer.tokens(0, last(0, "", "stop"), out);
  answer.done(done(3, 0, 1));
  answer.finish(out);
  const std::string head =
      R"({"id":"id-1","object":"chat.completion.chunk","created":17,"model":"m","choices":[)";
  ASSERT_EQ(out.size(), 4u);
  EXPECT_EQ(out[0].json,
            head + R"({"index":0,"delta":{"role":"assistant","content":"","refusal":null},)"
                   R"("logprobs":null,"finish_reason":null}],"usage":null})");
  EXPECT_EQ(out[1].json, head + R"({"index":0,"delta":{"content":"Hi"},"logprobs":null,)"
                                R"("finish_reason":null}],"usage":null})");
  EXPECT_EQ(out[2].json, head + R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop",)"
                                R"("stop_reason":null}],"usage":null})");
  EXPECT_EQ(out[3].json, head +
                             R"(],"usage":{"prompt_tokens":3,"completion_tokens":1,)"
                             R"("total_tokens":4,"prompt_tokens_details":{"cached_tokens":0}}})");
}

// Some clients ignore other fields of a chunk that has a finish_reason.
TEST(StreamedAnswer, TheChunkWithTheFinishReasonHasNothingElse) {
  for (auto endpoint : {OpenAiEndpoint::kChatCompletions, OpenAiEndpoint::kCompletions}) {
    OpenAiRequest asked = request(endpoint);
    asked.prompts[0].return_token_ids = true;
    asked.prompts[0].logprobs = 0;
    StreamedAnswer answer(asked, header());
    wire::Tokens end = last(0, "lo", "length");
    end.ids = {5};
    end.logprobs = {token("lo", -1.0f)};
    std::vector<StreamChunk> out;
    answer.tokens(0, end, out);
    ASSERT_EQ(out.size(), 2u);
    const bool is_chat = endpoint == OpenAiEndpoint::kChatCompletions;
    const auto content = nlohmann::json::parse(out[0].json)["choices"][0];
    EXPECT_EQ(is_chat ? content["delta"]["content"] : content["text"], "lo");
    EXPECT_EQ(content["finish_reason"], nullptr);
    EXPECT_EQ(content["token_ids"], std::vector<int>{5});
    EXPECT_FALSE(content["logprobs"].is_null());
    const auto ended = nlohmann::json::parse(out[1].json)["choices"][0];
    EXPECT_EQ(ended["finish_reason"], "length");
    EXPECT_EQ(ended["token_ids"], nlohmann::json::array());
    EXPECT_TRUE(ended["logprobs"].is_null());
    EXPECT_TRUE(is_chat ? ended["delta"].empty() : ended["text"] == "");
  }
}

// Typed clients accept only OpenAI's finish reasons; the error event that follows has the cause.
TEST(StreamedAnswer, AChoiceThatFailedHasNoFinishReason) {
  for (const char* reason : {"error", "cancelled"}) {
    StreamedAnswer answer(request(OpenAiEndpoint::kCompletions), header());
    std::vector<StreamChunk> out;
    answer.tokens(0, last(0, "", reason), out);
    EXPECT_TRUE(out.empty()) << reason;
    answer.tokens(0, last(0, "x", reason), out);
    ASSERT_EQ(out.size(), 1u) << reason;
    EXPECT_EQ(nlohmann::json::parse(out[0].json)["choices"][0]["text"], "x");
    EXPECT_EQ(nlohmann::json::parse(out[0].json)["choices"][0]["finish_reason"], nullptr);
  }
}

TEST(StreamedAnswer, HeldBackTextMakesNoChunk) {
  StreamedAnswer answer(request(OpenAiEndpoint::kCompletions), header());
  std::vector<StreamChunk> out;
  answer.accepted(0, {}, out);
  answer.tokens(0, piece(0, {5}, ""), out);
  EXPECT_TRUE(out.empty());
}

TEST(StreamedAnswer, PromptIdsComeOnceAndTokenIdsWithEveryChunk) {
  OpenAiRequest asked = request(OpenAiEndpoint::kCompletions);
  asked.prompts[0].return_token_ids = true;
  StreamedAnswer answer(asked, header());
  std::vector<StreamChunk> out;
  answer.accepted(0, {"0", 1, "", {11}, 1}, out);
  answer.tokens(0, piece(0, {5}, ""), out);
  answer.tokens(0, piece(0, {6}, "x"), out);
  ASSERT_EQ(out.size(), 2u);
  const auto first = nlohmann::json::parse(out[0].json)["choices"][0];
  const auto second = nlohmann::json::parse(out[1].json)["choices"][0];
  EXPECT_EQ(first["prompt_token_ids"], std::vector<int>{11});
  EXPECT_EQ(first["token_ids"], std::vector<int>{5});
  EXPECT_FALSE(second.contains("prompt_token_ids"));
}

TEST(StreamedAnswer, WithoutIncludeUsageThereIsNone) {
  StreamedAnswer answer(request(OpenAiEndpoint::kCompletions), header());
  std::vector<StreamChunk> out;
  answer.tokens(0, last(0, "x", "stop"), out);
  answer.done(done(1, 0, 1));
  answer.finish(out);
  ASSERT_EQ(out.size(), 2u);
  for (const StreamChunk& chunk : out)
    EXPECT_FALSE(nlohmann::json::parse(chunk.json).contains("usage")) << chunk.json;
}

// What has no chunk of its own counts in the next chunk's id.
TEST(StreamedAnswer, IdsCountHeldBackTokensAndEndedChoices) {
  OpenAiRequest asked = request(OpenAiEndpoint::kChatCompletions, 1, 2);
  asked.include_usage = true;
  StreamedAnswer answer(asked, header());
  std::vector<StreamChunk> out;
  answer.accepted(0, {}, out);
  answer.tokens(0, piece(1, {5}, ""), out);  // held back
  answer.tokens(0, piece(0, {6, 7}, "ab"), out);
  answer.tokens(0, last(0, "c", "stop"), out);
  answer.tokens(0, last(1, "d", "length"), out);
  answer.done(done(1, 0, 3));
  answer.finish(out);
  std::vector<std::string> ids;
  for (const StreamChunk& chunk : out) ids.push_back(chunk.id);
  EXPECT_EQ(ids, (std::vector<std::string>{"0:0", "0:0,1:0", "0:2,1:1", "0:2,1:1", "0:2:stop,1:1",
                                           "0:2:stop,1:1", "0:2:stop,1:1:length",
                                           "0:2:stop,1:1:length,usage"}));
}

TEST(Logprobs, ChatListsTokensWithBytesAndAlternatives) {
  wire::TokenLogprobs first = token("A", -0.5f);
  first.top = {{1, "A", -0.5f}, {2, "\xe4\xbd", -2.0f}};
  EXPECT_EQ(chat_logprobs({first}).dump(),
            R"({"content":[{"token":"A","logprob":-0.5,"bytes":[65],"top_logprobs":[)"
            R"({"token":"A","logprob":-0.5,"bytes":[65]},)"
            "{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-2.0,\"bytes\":[228,189]}]}],"
            R"("refusal":null})");
}

TEST(Logprobs, CompletionsListFourColumns) {
  wire::TokenLogprobs first = token("A", -0.5f);
  first.top = {{1, "A", -0.5f}, {2, "\xe4\xbd", -2.0f}};
  TextOffset offset;
  EXPECT_EQ(completion_logprobs({first, token("bc", -1.0f)}, true, offset).dump(),
            R"({"text_offset":[0,1],"token_logprobs":[-0.5,-1.0],"tokens":["A","bc"],)"
            R"("top_logprobs":[{"A":-0.5,"bytes:\\xe4\\xbd":-2.0},{"bc":-1.0}]})");
}

TEST(Logprobs, WithoutAlternativesTheColumnIsNull) {
  TextOffset offset;
  EXPECT_TRUE(completion_logprobs({token("A", -1.0f)}, true, offset)["top_logprobs"].is_null());
}

TEST(Logprobs, OffsetsCountCharactersAcrossPieces) {
  TextOffset offset;
  EXPECT_EQ(offset.advance("\xc3\xa4"), 0u);  // one character of two bytes
  EXPECT_EQ(offset.advance("\xe4\xbd"), 1u);  // begins the second
  EXPECT_EQ(offset.advance("\xa0"), 1u);      // ends it
  EXPECT_EQ(offset.advance("x"), 2u);
}

// The text of these tokens is U+FFFD, "a", U+FFFD, "b".
TEST(Logprobs, OffsetsCountWhatIsNotUtf8AsTheTextShowsIt) {
  TextOffset offset;
  EXPECT_EQ(offset.advance("\x80"), 0u);  // a stray continuation byte
  EXPECT_EQ(offset.advance("a"), 1u);
  EXPECT_EQ(offset.advance("\xe4\xbd"), 2u);  // a character that is never finished
  EXPECT_EQ(offset.advance(""), 2u);
  EXPECT_EQ(offset.advance("b"), 3u);
  EXPECT_EQ(offset.advance("c"), 4u);
}

// A token starts a character exactly if cutting the text before the token changes no character.
TEST(Logprobs, OffsetsAgreeWithTheTextWhateverTheBytesAndTheTokens) {
  const auto n_characters = [](const std::string& text) {
    return static_cast<uint64_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
  };
  constexpr uint32_t kSeed = 11;
  std::mt19937 random(kSeed);
  const std::string alphabet = "a\x80\xbf\xa0\xc3\xe4\xbd\xe0\xed\xf0\x9f\x98\xf4\xff";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(1 + random() % 12, ' ');
    for (char& c : bytes) c = alphabet[random() % alphabet.size()];
    const std::string text = utf8::replace_invalid(bytes);
    TextOffset offset;
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = std::min<size_t>(1 + random() % 3, bytes.size() - at);
      const std::string before = utf8::replace_invalid(bytes.substr(0, at));
      const bool is_border = before + utf8::replace_invalid(bytes.substr(at)) == text;
      ASSERT_EQ(offset.advance(bytes.substr(at, n)), n_characters(before) - (is_border ? 0 : 1))
          << "seed " << kSeed << ", round " << round << ", byte " << at;
      at += n;
    }
  }
}

TEST(Logprobs, OffsetsPassOverControlTokensThatTheTextLeavesOut) {
  wire::TokenLogprobs control = token("<|im_end|>", -1.0f);
  control.special = true;
  const std::vector<wire::TokenLogprobs> tokens = {token("a", -1.0f), control, token("b", -1.0f)};
  TextOffset without, with;
  EXPECT_EQ(completion_logprobs(tokens, /*skips_special=*/true, without)["text_offset"].dump(),
            "[0,1,1]");
  EXPECT_EQ(completion_logprobs(tokens, /*skips_special=*/false, with)["text_offset"].dump(),
            "[0,1,11]");
}

TEST(Logprobs, InfinityBecomesANumber) {
  TextOffset offset;
  const float never = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(completion_logprobs({token("A", never)}, true, offset)["token_logprobs"].dump(),
            "[-9999.0]");
}

TEST(ErrorBody, HasTheFourKeysAndAStringCode) {
  EXPECT_EQ(error_body({ErrorCode::kContextLengthExceeded, "too long: 9 > 8", "messages"}),
            R"({"error":{"message":"too long: 9 > 8","type":"invalid_request_error",)"
            R"("param":"messages","code":"context_length_exceeded"}})");
  EXPECT_EQ(nlohmann::json::parse(error_body({ErrorCode::kInternal, "x", ""}))["error"]["param"],
            nullptr);
}

}  // namespace
}  // namespace lockstep
