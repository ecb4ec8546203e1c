// OpenAI request bodies: the error for each invalid value, with the field and the numbers.
#include "tests/unit/coordinator/openai_bodies.h"

namespace lockstep::testing {
namespace {

struct Refusal {
  const char* fields;
  const char* param;
  const char* says;  // part of the message
};

void expect_refused(const Result<OpenAiRequest>& request, const Refusal& refusal, ErrorCode code) {
  ASSERT_FALSE(request.has_value()) << refusal.fields;
  EXPECT_EQ(request.error().param, refusal.param) << refusal.fields;
  EXPECT_EQ(request.error().code, code) << refusal.fields << ": " << request.error().message;
  EXPECT_NE(request.error().message.find(refusal.says), std::string::npos)
      << refusal.fields << ": " << request.error().message;
}

TEST(OpenAiRequest, BadValuesNameTheFieldAndTheNumbers) {
  const Refusal refusals[] = {
      {R"("temperature":"hot")", "temperature", "got \"hot\""},
      {R"("temperature":NaN)", "temperature", "malformed JSON"},
      {R"("temperature":1e400)", "temperature", "out of range"},
      {R"("temperature":Infinity)", "temperature", "malformed JSON"},
      {R"("top_p":"all")", "top_p", "must be a number, got \"all\""},
      {R"("min_p":[0])", "min_p", "must be a number, got an array"},
      {R"("top_k":0.5)", "top_k", "integer, got 0.5"},
      {R"("repetition_penalty":true)", "repetition_penalty", "must be a number, got true"},
      {R"("presence_penalty":{})", "presence_penalty", "must be a number, got an object"},
      {R"("frequency_penalty":"1")", "frequency_penalty", "must be a number, got \"1\""},
      {R"("n":0)", "n", "from 1 to 128, got 0"},
      {R"("n":129)", "n", "got 129"},
      {R"("n":1.5)", "n", "got 1.5"},
      {R"("max_tokens":0)", "max_tokens", "at least 1, got 0"},
      {R"("max_tokens":true)", "max_tokens", "got true"},
      {R"("max_completion_tokens":-4)", "max_completion_tokens", "got -4"},
      {R"("min_tokens":9,"max_tokens":8)", "min_tokens", "9 > 8"},
      {R"("seed":9223372036854775808)", "seed", "64-bit"},
      {R"("seed":1.5)", "seed", "64-bit"},
      {R"("stop":[""])", "stop", "not empty"},
      {R"("stop":[1])", "stop", "got 1"},
      {R"("stop":{})", "stop", "an object"},
      {R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])",
       "stop", "at most 16 strings, got 17"},
      {R"("stop_token_ids":[-1])", "stop_token_ids[0]", "got -1"},
      {R"("stream":"yes")", "stream", "true or false"},
      {R"("stream_options":{"include_usage":true})", "stream_options", "requires stream"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage",
       "true or false, got 1"},
      {R"("stream":true,"stream_options":3)", "stream_options", "an object"},
      {R"("logprobs":2)", "logprobs", "true or false"},
      {R"("top_logprobs":2)", "top_logprobs", "requires logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs", "from 0 to 20, got 21"},
      {R"("ignore_eos":0)", "ignore_eos", "true or false"},
      {R"("cache_salt":5)", "cache_salt", "must be a string, got 5"},
      {R"("cache_salt":["a"])", "cache_salt", "must be a string, got an array"},
      {R"("tenant":7)", "tenant", "must be a string, got 7"},
      {R"("priority":-1)", "priority", "from 0 to 2147483647, got -1"},
      {R"("priority":1.5)", "priority", "got 1.5"},
      {R"("deadline_ms":0)", "deadline_ms", "from 1 to 2147483647, got 0"},
      {R"("deadline_ms":-5)", "deadline_ms", "got -5"},
      {R"("cache_retention":60)", "cache_retention", "must be an object, got 60"},
      {R"("cache_retention":{"seconds":60})", "cache_retention.priority", "is required"},
      {R"("cache_retention":{"priority":80})", "cache_retention.seconds", "is required"},
      {R"("cache_retention":{"priority":101,"seconds":60})", "cache_retention.priority",
       "from 0 to 100, got 101"},
      {R"("cache_retention":{"priority":80,"seconds":0})", "cache_retention.seconds", "got 0"},
  };
  for (const Refusal& refusal : refusals)
    expect_refused(parse_chat_request(chat(refusal.fields)), refusal, ErrorCode::kInvalidRequest);
}

// The node checks the ranges of these fields (common/sampling_ranges.h), so the coordinator
// forwards any value.
TEST(OpenAiRequest, NumbersOfSamplingGoOnAsTheyAre) {
  const wire::Generate g = chat_fields(
      R"("temperature":-0.5,"top_p":1.5,"min_p":-1,"top_k":-2,"repetition_penalty":0,
         "presence_penalty":2.5,"frequency_penalty":-3)");
  EXPECT_EQ(g.temperature, -0.5);
  EXPECT_EQ(g.top_p, 1.5);
  EXPECT_EQ(g.min_p, -1);
  EXPECT_EQ(g.top_k, -2);
  EXPECT_EQ(g.repetition_penalty, 0);
  EXPECT_EQ(g.presence_penalty, 2.5);
  EXPECT_EQ(g.frequency_penalty, -3);
}

TEST(OpenAiRequest, CompletionsHaveTheirOwnBadValues) {
  const Refusal refusals[] = {
      {R"("logprobs":true)", "logprobs", "from 0 to 20, got true"},
      {R"("logprobs":21)", "logprobs", "got 21"},
      {R"("add_special_tokens":"no")", "add_special_tokens", "true or false"},
      {R"("prompt":"")", "prompt", "not be empty"},
      {R"("prompt":[])", "prompt", "not be empty"},
      {R"("prompt":[[]])", "prompt", "not be empty"},
      {R"("prompt":["a",""])", "prompt", "not be empty"},
      {R"("prompt":[1,"a"])", "prompt", "token id"},
      {R"("prompt":[1.5])", "prompt", "1.5"},
      {R"("prompt":[-1])", "prompt", "-1"},
      {R"("prompt":[4294967296])", "prompt", "4294967296"},
      {R"("prompt":{"a":1})", "prompt", "an object"},
      {R"("prompt":null)", "prompt", "required"},
  };
  for (const Refusal& refusal : refusals)
    expect_refused(parse_completion_request(completion(refusal.fields)), refusal,
                   ErrorCode::kInvalidRequest);
}

TEST(OpenAiRequest, TooManyPromptsAreRefusedWithTheirNumber) {
  std::string prompts = "[\"a\"";
  for (int i = 0; i < 1024; ++i) prompts += ",\"a\"";
  const auto request = parse_completion_request(R"({"model":"m","prompt":)" + prompts + "]}");
  ASSERT_FALSE(request.has_value());
  EXPECT_EQ(request.error().message, "prompt must hold at most 1024 prompts, got 1025");
}

// These fields would be copied for every prompt.
TEST(OpenAiRequest, WhatEveryPromptSharesIsBounded) {
  const auto list = [](size_t n, const std::string& item) {
    std::string out = item;
    for (size_t i = 1; i < n; ++i) out += "," + item;
    return "[" + out + "]";
  };
  const auto text = [](size_t n) { return '"' + std::string(n, 'x') + '"'; };
  completion_fields(R"("stop":)" + list(16, text(1024)));
  completion_fields(R"("stop_token_ids":)" + list(64, "5"));
  const std::string big_stop = R"("stop":["a",)" + text(1025) + "]";
  const std::string many_ids = R"("stop_token_ids":)" + list(65, "5");
  expect_refused(parse_completion_request(completion(big_stop)),
                 {big_stop.c_str(), "stop", "at most 1024 bytes, got one of 1025"},
                 ErrorCode::kInvalidRequest);
  expect_refused(parse_completion_request(completion(many_ids)),
                 {many_ids.c_str(), "stop_token_ids", "at most 64 token ids, got 65"},
                 ErrorCode::kInvalidRequest);
}

TEST(OpenAiRequest, AModelsNameIsBounded) {
  const auto with_name = [](const std::string& rest, size_t n) {
    return R"({"model":")" + std::string(n, 'm') + "\"," + rest + "}";
  };
  const std::string prompt = R"("prompt":"a")";
  const std::string messages = R"("messages":[{"role":"user","content":"x"}])";
  EXPECT_TRUE(parse_completion_request(with_name(prompt, 256)).has_value());
  const auto expect_long = [](const auto& request) {
    ASSERT_FALSE(request.has_value());
    EXPECT_EQ(request.error().message, "model must be at most 256 bytes long, got 257");
    EXPECT_EQ(request.error().param, "model");
  };
  expect_long(parse_completion_request(with_name(prompt, 257)));
  expect_long(parse_chat_request(with_name(messages, 257)));
  expect_long(parse_tokenize_request(with_name(prompt, 257)));
  expect_long(parse_detokenize_request(with_name(R"("tokens":[1])", 257)));
}

TEST(OpenAiRequest, ACacheSaltIsOptionalAndBounded) {
  const auto salt = [](const std::string& value) { return R"("cache_salt":")" + value + '"'; };
  EXPECT_EQ(completion_fields(salt("acme")).cache_salt, "acme");
  EXPECT_EQ(completion_fields(salt("")).cache_salt, "");
  EXPECT_EQ(completion_fields(R"("cache_salt":null)").cache_salt, "");
  const std::string full(256, 's');
  EXPECT_EQ(chat_fields(salt(full)).cache_salt, full);
  const std::string accents = salt(full.substr(2) + "éé");  // 256 characters, 258 bytes
  const Refusal refusal{accents.c_str(), "cache_salt", "at most 256 bytes long, got 258"};
  expect_refused(parse_chat_request(chat(accents)), refusal, ErrorCode::kInvalidRequest);
  expect_refused(parse_completion_request(completion(accents)), refusal,
                 ErrorCode::kInvalidRequest);
}

TEST(OpenAiRequest, ABodyOfAMillionValuesIsRefusedBeforeItIsATree) {
  std::string body = R"({"model":"m","prompt":"a","x":[0)";
  for (int i = 0; i < 1 << 20; ++i) body += ",0";
  const auto request = parse_completion_request(body + "]}");
  ASSERT_FALSE(request.has_value());
  EXPECT_EQ(request.error().code, ErrorCode::kInvalidRequest);
  EXPECT_NE(request.error().message.find("more than 1047552 values"), std::string::npos)
      << request.error().message;
}

TEST(OpenAiRequest, FieldsThatThisVersionDoesNotServeAreNamed) {
  const char* const fields[][2] = {
      {"tools", R"([{"type":"function"}])"},
      {"tools", "[]"},
      {"tool_choice", R"("auto")"},
      {"functions", "[]"},
      {"response_format", R"({"type":"json_object"})"},
      {"structured_outputs", R"({"regex":"a"})"},
      {"logit_bias", R"({"5":1})"},
      {"bad_words", R"(["x"])"},
      {"allowed_token_ids", "[1]"},
      {"echo", "true"},
      {"prompt_logprobs", "0"},
      {"suffix", R"("x")"},
      {"best_of", "2"},
      {"guided_json", "{}"},
      {"guided_regex", R"("a")"},
      {"truncate_prompt_tokens", "5"},
  };
  for (const auto& [name, value] : fields) {
    const std::string text = "\"" + std::string(name) + "\":" + value;
    const Refusal refusal{text.c_str(), name, name};
    expect_refused(parse_chat_request(chat(text)), refusal, ErrorCode::kUnsupportedParameter);
    expect_refused(parse_completion_request(completion(text)), refusal,
                   ErrorCode::kUnsupportedParameter);
  }
}

TEST(OpenAiRequest, ValuesThatAskForNothingPass) {
  chat_fields(R"("tool_choice":"none","response_format":{"type":"text"},"logit_bias":{},
                 "bad_words":[],"echo":false,"best_of":1,"suffix":"","guided_json":null,
                 "modalities":["text"],"function_call":"none")");
}

TEST(OpenAiRequest, MessagesAreChecked) {
  const char* const messages[][2] = {
      {"null", "messages"},
      {"[]", "messages"},
      {R"("Hi")", "messages"},
      {"[1]", "messages[0]"},
      {"[{}]", "messages[0].role"},
      {R"([{"role":"king","content":"x"}])", "messages[0].role"},
      {R"([{"role":1,"content":"x"}])", "messages[0].role"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":5}])", "messages[0].content"},
      {R"([{"role":"user","content":[]}])", "messages[0].content"},
      {R"([{"role":"user","content":null}])", "messages[0].content"},
      {R"([{"role":"system","content":null}])", "messages[0].content"},
      {R"([{"role":"assistant","content":5}])", "messages[0].content"},
      {R"([{"role":"assistant","content":null,"refusal":5}])", "messages[0].refusal"},
      {R"([{"role":"assistant","content":[{"type":"refusal","text":"no"}]}])",
       "messages[0].content[0].refusal"},
      {R"([{"role":"user","content":"a"},{"role":"user","content":["b"]}])",
       "messages[1].content[0]"},
      {R"([{"role":"user","content":[{"text":"b"}]}])", "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text"},
      {R"([{"role":"user","content":"a","name":1}])", "messages[0].name"},
  };
  for (const auto& [value, param] : messages) {
    const auto request =
        parse_chat_request(R"({"model":"m","messages":)" + std::string(value) + "}");
    ASSERT_FALSE(request.has_value()) << value;
    EXPECT_EQ(request.error().param, param) << value;
    EXPECT_EQ(request.error().code, ErrorCode::kInvalidRequest) << value;
  }
}

TEST(OpenAiRequest, ImagesAudioAndToolsInMessagesAreNamed) {
  const char* const messages[][2] = {
      {R"([{"role":"user","content":[{"type":"text","text":"see"},
           {"type":"image_url","image_url":{"url":"x"}}]}])",
       "messages[0].content[1]"},
      {R"([{"role":"user","content":[{"type":"input_audio"}]}])", "messages[0].content[0]"},
      {R"([{"role":"user","content":[{"type":"refusal","refusal":"no"}]}])",
       "messages[0].content[0]"},
      {R"([{"role":"assistant","tool_calls":[{}],"content":null}])", "messages[0].tool_calls"},
      {R"([{"role":"tool","content":"x"}])", "messages[0].role"},
  };
  for (const auto& [value, param] : messages) {
    const auto request =
        parse_chat_request(R"({"model":"m","messages":)" + std::string(value) + "}");
    ASSERT_FALSE(request.has_value()) << value;
    EXPECT_EQ(request.error().param, param) << value;
    EXPECT_EQ(request.error().code, ErrorCode::kUnsupportedParameter) << value;
  }
}

TEST(OpenAiRequest, TheModelIsRequired) {
  const auto request = parse_chat_request(R"({"messages":[{"role":"user","content":"x"}]})");
  ASSERT_FALSE(request.has_value());
  EXPECT_EQ(request.error().message, "model is required");
  EXPECT_EQ(request.error().param, "model");
}

TEST(OpenAiRequest, BodiesThatAreNoJsonObjectAreRefused) {
  const std::string deep(100'000, '[');
  for (const std::string& body : {std::string(), std::string("{"), std::string("[]"),
                                  std::string("\"x\""), std::string("{} {}"), std::string("{]"),
                                  std::string("\xff\xfe"), std::string("{\"a\":\"\xff\"}"), deep}) {
    const auto request = parse_chat_request(body);
    ASSERT_FALSE(request.has_value()) << body.substr(0, 20);
    EXPECT_EQ(request.error().code, ErrorCode::kInvalidRequest);
  }
}

}  // namespace
}  // namespace lockstep::testing
