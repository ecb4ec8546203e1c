// The codec's valid inputs: every message decodes to the message that was encoded, and the bytes
// are as documented.
#include "wire/codec/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/unit/wire/packed.h"
#include "tests/unit/wire/samples.h"

namespace lockstep::wire {
namespace {

using testing::full_generate;
using testing::full_tokens;
using testing::one_of_each;

std::string from_hex(std::string_view hex) {
  std::string bytes;
  std::string digits;
  for (char c : hex) {
    if (c == ' ' || c == '\n') continue;
    digits += c;
    if (digits.size() == 2) {
      bytes += static_cast<char>(std::stoi(digits, nullptr, 16));
      digits.clear();
    }
  }
  return bytes;
}

nlohmann::json tree(const std::string& bytes) { return nlohmann::json::from_msgpack(bytes); }

TEST(Codec, SamplesCoverEveryMessageType) {
  const std::vector<Message> messages = one_of_each();
  ASSERT_EQ(messages.size(), std::variant_size_v<Message>);
  for (size_t i = 0; i < messages.size(); ++i) EXPECT_EQ(messages[i].index(), i);
}

TEST(Codec, EveryMessageComesBackWithEveryField) {
  for (const Message& message : one_of_each()) {
    SCOPED_TRACE(type_name(message));
    const std::string bytes = encode(message);
    const Result<Message> decoded = decode(bytes);
    ASSERT_TRUE(decoded) << decoded.error().message;
    EXPECT_EQ(decoded->index(), message.index());
    EXPECT_EQ(encode(*decoded), bytes);
  }
}

TEST(Codec, EveryFieldOfTheSamplesDiffersFromItsDefault) {
  for (const Message& message : one_of_each()) {
    SCOPED_TRACE(type_name(message));
    const nlohmann::json full = tree(encode(message));
    const Message empty =
        std::visit([](const auto& m) { return Message(std::decay_t<decltype(m)>()); }, message);
    const nlohmann::json defaults = tree(encode(empty));
    for (const auto& [name, value] : defaults.items()) {
      if (name == "v" || name == "type" || name == "version") continue;
      EXPECT_NE(full.at(name), value) << name;
    }
  }
}

TEST(Codec, GenerateKeepsItsValues) {
  const Result<Message> decoded = decode(encode(full_generate()));
  ASSERT_TRUE(decoded);
  const auto& m = std::get<Generate>(*decoded);
  EXPECT_EQ(m.request_id, "r-1");
  ASSERT_TRUE(m.messages);
  EXPECT_EQ(m.messages->at(0).content, "héllo");
  EXPECT_EQ(m.seed, 0xFFFFFFFFFFFFFFFFu);
  EXPECT_EQ(m.top_k, -1);
  EXPECT_EQ(m.presence_penalty, -0.5);
  EXPECT_EQ(m.stop, (std::vector<std::string>{"\n\n", "END"}));
  EXPECT_FALSE(m.prompt_text);
  EXPECT_FALSE(m.cache_prompt);
  EXPECT_EQ(m.cache_salt, "acmé");
  EXPECT_EQ(m.tenant, "gold");
  EXPECT_EQ(m.priority, 3);
  EXPECT_EQ(m.deadline_ms, 1500);
  ASSERT_TRUE(m.cache_retention);
  EXPECT_EQ(m.cache_retention->priority, 80);
  EXPECT_EQ(m.cache_retention->seconds, 60);
  EXPECT_EQ(m.emitted, full_generate().emitted);
  EXPECT_EQ(m.attempt, 2u);
  EXPECT_EQ(m, full_generate());
}

TEST(Codec, PromptIsATextOrAListOfIds) {
  Generate m;
  m.request_id = "r";
  m.model = "tiny";
  m.prompt_ids = {1, 2, 70000};
  Result<Message> decoded = decode(encode(m));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<Generate>(*decoded).prompt_ids, m.prompt_ids);
  m.prompt_ids.reset();
  m.prompt_text = "";
  decoded = decode(encode(m));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<Generate>(*decoded).prompt_text, "");
}

TEST(Codec, AHeartbeatKeepsItsStepTimes) {
  const Heartbeat sent = testing::full_heartbeat();
  const Result<Message> decoded = decode(encode(sent));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<Heartbeat>(*decoded), sent);
}

TEST(Codec, AHeartbeatOfANodeWithoutStepTimesHasNone) {
  const nlohmann::json old = {{"v", 1}, {"type", "heartbeat"}, {"epoch", 9}, {"step", 2}};
  const Result<Message> decoded = decode(packed(old));
  ASSERT_TRUE(decoded);
  const auto& m = std::get<Heartbeat>(*decoded);
  EXPECT_EQ(m.step_times, std::nullopt);
  EXPECT_EQ(m.n_prompt_tokens_pending, 0);
  EXPECT_EQ(m.n_context_tokens, 0);
  EXPECT_FALSE(tree(encode(m)).contains("step_times"));
}

TEST(Codec, GoldenBytesOfTokens) {
  Tokens m;
  m.request_id = "a1";
  m.first_index = 3;
  m.ids = {7042};
  m.text = " Paris";
  const std::string golden = from_hex(
      "89 a1 76 01 a4 74797065 a6 746f6b656e73 aa 726571756573745f6964 a2 6131"
      "a6 63686f696365 00 ab 66697273745f696e646578 03 a3 696473 91 cd 1b82"
      "a4 74657874 a6 205061726973 a5 65706f6368 00 a7 617474656d7074 00");
  EXPECT_EQ(encode(m), golden);
  std::string hot = "x";
  encode_tokens(m, hot);
  EXPECT_EQ(hot, "x" + golden);
}

TEST(Codec, GoldenBytesOfAModelWithDefaultSamplingParams) {
  ModelInfo model{"m", 0, 16, DefaultSamplingParams{0.5, {}, {}, 20, {}}};
  EXPECT_EQ(encode(Models{"a1", {model}}),
            from_hex("84 a1 76 01 a4 74797065 a6 6d6f64656c73 aa 726571756573745f6964 a2 6131"
                     "a6 6d6f64656c73 91 84 a2 6964 a1 6d a7 63726561746564 00"
                     "ad 6d61785f6d6f64656c5f6c656e 10"
                     "b7 64656661756c745f73616d706c696e675f706172616d73 82"
                     "ab 74656d7065726174757265 cb 3fe0000000000000 a5 746f705f6b 14"));
}

// A node must distinguish fields that were omitted from fields that were set to their default.
TEST(Codec, SamplingFieldsThatAreNotSetAreNotSent) {
  Generate m;
  m.request_id = "r";
  m.model = "tiny";
  m.prompt_text = "hi";
  m.top_p = 1.0;
  const nlohmann::json sent = tree(encode(m));
  EXPECT_TRUE(sent.contains("top_p"));
  for (const char* name : {"temperature", "min_p", "top_k", "repetition_penalty"}) {
    EXPECT_FALSE(sent.contains(name)) << name;
  }
}

TEST(Codec, GoldenBytesOfCancelAndError) {
  EXPECT_EQ(encode(Cancel{"a1"}),
            from_hex("83 a1 76 01 a4 74797065 a6 63616e63656c aa 726571756573745f6964 a2 6131"));
  EXPECT_EQ(encode(ErrorReply{"", ErrorCode::kOverloaded, "full", ""}),
            from_hex("84 a1 76 01 a4 74797065 a5 6572726f72 a4 636f6465 aa 6f7665726c6f61646564"
                     "a7 6d657373616765 a4 66756c6c"));
}

// "cache_salt" is encoded only if it is set: a request without a salt has the bytes that peers
// without this field expect.
TEST(Codec, GoldenBytesOfACacheSalt) {
  Generate m;
  m.request_id = "a1";
  m.model = "m";
  m.prompt_text = "hi";
  const std::string without = encode(m);
  m.cache_salt = "acme";
  std::string with = encode(m);
  const std::string field = from_hex("aa 63616368655f73616c74 a4 61636d65");
  const size_t at = with.find(field);
  ASSERT_NE(at, std::string::npos);
  with.erase(at, field.size());
  ASSERT_EQ(with.substr(0, 3), from_hex("de 0013")) << "a map of 19";
  with[2] = 0x12;
  EXPECT_EQ(with, without);
}

// `emitted` is encoded only if there is some; `attempt` is always encoded.
TEST(Codec, GoldenBytesOfEmittedChoices) {
  Generate m;
  m.request_id = "a1";
  m.model = "m";
  m.prompt_text = "hi";
  const std::string attempt = from_hex("a7 617474656d7074");
  const std::string none = encode(m);
  EXPECT_EQ(none.find("emitted"), std::string::npos);
  EXPECT_EQ(none.substr(none.size() - 9), attempt + from_hex("00"));
  m.emitted = {{{5, 300}, std::nullopt}, {{}, std::nullopt}, {{7}, "stop"}};
  m.attempt = 1;
  const std::string golden = from_hex(
      "a7 656d6974746564 93"
      "81 a3 696473 92 05 cd 012c"
      "81 a3 696473 90"
      "82 a3 696473 91 07 ad 66696e6973685f726561736f6e a4 73746f70");
  const std::string some = encode(m);
  ASSERT_GE(some.size(), golden.size() + 9);
  EXPECT_EQ(some.substr(some.size() - 9), attempt + from_hex("01"));
  EXPECT_EQ(some.substr(some.size() - 9 - golden.size(), golden.size()), golden);
}

// An attach is a generate with two more fields.
TEST(Codec, GoldenBytesOfAnAttach) {
  Attach m;
  m.request_id = "a1";
  m.model = "m";
  m.prompt_text = "hi";
  m.resume_token = "AQID";
  m.index = {17, 300};
  const std::string tail = from_hex(
      "ac 726573756d655f746f6b656e a4 41514944"
      "a5 696e646578 92 11 cd 012c");
  const std::string frame = encode(m);
  ASSERT_GE(frame.size(), tail.size());
  EXPECT_EQ(frame.substr(frame.size() - tail.size()), tail);
  nlohmann::json json = tree(frame), generate = tree(encode(static_cast<const Generate&>(m)));
  EXPECT_EQ(json["type"], "attach");
  for (const char* name : {"resume_token", "index"}) json.erase(name);
  json["type"] = "generate";
  EXPECT_EQ(json, generate);
}

TEST(Codec, OneIndexStandsForAListOfOne) {
  nlohmann::json json = {{"v", 1},         {"type", "attach"}, {"request_id", "r"},  {"model", "m"},
                         {"prompt", "hi"}, {"index", 17},      {"resume_token", "t"}};
  const Result<Message> decoded = decode(packed(json));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(std::get<Attach>(*decoded).index, std::vector<uint32_t>{17});
  for (const nlohmann::json& bad :
       {nlohmann::json(-1), nlohmann::json("17"), nlohmann::json(int64_t{1} << 32),
        nlohmann::json::array({1.5})}) {
    json["index"] = bad;
    const Result<Message> refused = decode(packed(json));
    ASSERT_FALSE(refused) << bad;
    EXPECT_TRUE(refused.error().param.starts_with("index")) << refused.error().param;
  }
}

TEST(Codec, GoldenBytesOfAnAcceptedWithAToken) {
  EXPECT_EQ(encode(Accepted{"a1", 7, "AQID", {}, 3, 64, "f0"}),
            from_hex("88 a1 76 01 a4 74797065 a8 6163636570746564 aa 726571756573745f6964 a2 6131"
                     "a4 73656564 07 ac 726573756d655f746f6b656e a4 41514944"
                     "ad 70726f6d70745f746f6b656e73 03 aa 6d61785f746f6b656e73 40"
                     "ab 66696e6765727072696e74 a2 6630"));
}

// `progress` is the last field of the map, and it is 0 if a node leaves it out.
TEST(Codec, AHeartbeatEndsWithItsProgress) {
  Heartbeat m;
  m.epoch = 1;
  m.progress = 300;
  const std::string frame = encode(m);
  const std::string field = from_hex("a8 70726f6772657373 cd 012c");
  ASSERT_GE(frame.size(), field.size());
  EXPECT_EQ(frame.substr(frame.size() - field.size()), field);
  const Result<Message> older =
      decode(packed({{"v", 1}, {"type", "heartbeat"}, {"epoch", 1}, {"step", 7}}));
  ASSERT_TRUE(older);
  EXPECT_EQ(std::get<Heartbeat>(*older).progress, 0u);
}

TEST(Codec, HotTokenFrameIsTheSameAsEncode) {
  std::string hot;
  encode_tokens(full_tokens(), hot);
  EXPECT_EQ(hot, encode(full_tokens()));
}

TEST(Codec, AnotherMessagePackLibraryReadsTheNumbers) {
  Heartbeat m;
  m.epoch = 0xFFFFFFFFFFFFFFFFu;
  for (const int64_t n :
       {0L,  127L, 128L, 255L,  256L,  65535L,  65536L,  4294967295L,  4294967296L,  INT64_MAX,
        -1L, -32L, -33L, -128L, -129L, -32768L, -32769L, -2147483648L, -2147483649L, INT64_MIN}) {
    m.n_running = n;
    const nlohmann::json json = tree(encode(m));
    EXPECT_EQ(json.at("n_running").get<int64_t>(), n);
    EXPECT_EQ(json.at("epoch").get<uint64_t>(), m.epoch);
  }
  EXPECT_DOUBLE_EQ(tree(encode(full_generate())).at("repetition_penalty").get<double>(), 1.1);
}

TEST(Codec, StringsOfEveryLengthClassComeBack) {
  for (const size_t n : {0u, 1u, 31u, 32u, 255u, 256u, 65535u, 65536u}) {
    const Result<Message> decoded = decode(encode(Detokenized{"d", std::string(n, 'x')}));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(std::get<Detokenized>(*decoded).prompt.size(), n);
  }
}

TEST(Codec, TokenBytesThatAreNoUtf8TravelAsBin) {
  const nlohmann::json json = tree(encode(Tokenized{"t", {1, 2}, {"ok", "\xFF"}, 0}));
  EXPECT_TRUE(json.at("token_strs").at(0).is_string());
  EXPECT_TRUE(json.at("token_strs").at(1).is_binary());
  for (const size_t n : {1u, 255u, 256u, 70000u}) {
    const std::string raw(n, '\xFF');
    const Result<Message> decoded = decode(encode(Tokenized{"t", {1}, {raw}, 0}));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(std::get<Tokenized>(*decoded).token_strs.at(0), raw);
  }
}

TEST(Codec, TextIsAlwaysWrittenAsValidUtf8) {
  const nlohmann::json json = tree(encode(Detokenized{"d", "a\xFF"}));
  EXPECT_EQ(json.at("prompt").get<std::string>(), "a\xEF\xBF\xBD");
}

TEST(Codec, UnknownFieldsAreSkippedAndAbsentOnesDefaulted) {
  const Result<Message> decoded = decode(packed({{"v", 1},
                                                 {"type", "generate"},
                                                 {"request_id", "r"},
                                                 {"model", "tiny"},
                                                 {"prompt", "hi"},
                                                 {"from_the_future", {{"deep", {1, 2}}}},
                                                 {"seed", nullptr}}));
  ASSERT_TRUE(decoded) << decoded.error().message;
  const auto& m = std::get<Generate>(*decoded);
  EXPECT_FALSE(m.temperature);
  EXPECT_EQ(m.n, 1);
  EXPECT_FALSE(m.seed);
  EXPECT_TRUE(m.cache_prompt);
  EXPECT_EQ(m.cache_salt, "");
}

TEST(Codec, OneStopStringStandsForAList) {
  const Result<Message> decoded = decode(packed({{"v", 1},
                                                 {"type", "generate"},
                                                 {"request_id", "r"},
                                                 {"model", "tiny"},
                                                 {"prompt", "hi"},
                                                 {"stop", "END"}}));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<Generate>(*decoded).stop, std::vector<std::string>{"END"});
}

TEST(Codec, WholeNumbersServeAsFractions) {
  nlohmann::json json = {{"v", 1},       {"type", "generate"}, {"request_id", "r"},
                         {"model", "m"}, {"prompt", "hi"},     {"temperature", 0}};
  Result<Message> decoded = decode(packed(json));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<Generate>(*decoded).temperature, 0.0);
  json["temperature"] = std::nan("");
  decoded = decode(packed(json));
  ASSERT_TRUE(decoded);  // the range check refuses it later, with the field's name
  EXPECT_TRUE(std::isnan(std::get<Generate>(*decoded).temperature.value()));
}

TEST(Codec, ErrorCodesOfNewerPeersAreStillErrors) {
  const Result<Message> decoded = decode(packed(
      {{"v", 1}, {"type", "error"}, {"code", "quantum_decoherence"}, {"message", "it collapsed"}}));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<ErrorReply>(*decoded).code, ErrorCode::kInternal);
  EXPECT_EQ(std::get<ErrorReply>(*decoded).message, "it collapsed");
}

}  // namespace
}  // namespace lockstep::wire
