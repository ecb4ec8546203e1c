// The codec's invalid inputs: any bytes give a message or an error that names the field, never a
// crash.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/random.h"
#include "tests/unit/wire/packed.h"
#include "tests/unit/wire/samples.h"
#include "wire/codec/codec.h"
#include "wire/codec/scan.h"

namespace lockstep::wire {
namespace {

using nlohmann::json;

json generate() {
  return {{"v", 1}, {"type", "generate"}, {"request_id", "r-9"}, {"model", "m"}, {"prompt", "hi"}};
}

Error refused(const json& value) {
  std::string request_id;
  const Result<Message> decoded = decode(packed(value), &request_id);
  EXPECT_FALSE(decoded) << value.dump();
  return decoded ? Error{} : decoded.error();
}

TEST(CodecHostile, WrongTypesNameTheField) {
  const std::vector<std::pair<std::string, json>> cases = {{"temperature", "hot"},
                                                           {"max_tokens", 1.5},
                                                           {"n", "two"},
                                                           {"stop", 7},
                                                           {"seed", -1},
                                                           {"ignore_eos", 1},
                                                           {"cache_salt", 7},
                                                           {"cache_salt", {"a"}},
                                                           {"cache_salt", "a\xFF"},
                                                           {"tenant", 7},
                                                           {"tenant", std::string(65, 't')},
                                                           {"priority", 0.5},
                                                           {"deadline_ms", "soon"},
                                                           {"cache_retention", 60},
                                                           {"cache_retention", {{"seconds", 1}}},
                                                           {"model", 5},
                                                           {"prompt", true},
                                                           {"messages", "hello"},
                                                           {"stop", {"a", 5}},
                                                           {"logprobs", "x"},
                                                           {"prompt", {{1, 2}}},
                                                           {"top_p", {1}},
                                                           {"request_id", 1234},
                                                           {"stop_token_ids", {"a"}}};
  for (const auto& [field, value] : cases) {
    json message = generate();
    message[field] = value;
    const Error error = refused(message);
    EXPECT_EQ(error.code, ErrorCode::kInvalidRequest);
    EXPECT_EQ(error.param.substr(0, field.size()), field) << error.message;
    EXPECT_NE(error.message.find(field), std::string::npos) << error.message;
  }
}

TEST(CodecHostile, NestedFieldsAreNamedWithTheirPlace) {
  json message = generate();
  message.erase("prompt");
  message["messages"] = {{{"role", "user"}, {"content", "x"}}, {{"role", 5}, {"content", "x"}}};
  EXPECT_EQ(refused(message).param, "messages[1].role");
  message["messages"] = {{{"role", "user"}}};
  const Error error = refused(message);
  EXPECT_EQ(error.message, "messages[0].content is required");
}

TEST(CodecHostile, NumbersOutOfRangeSayTheRange) {
  json message = generate();
  message["prompt"] = {1, 4294967296};
  const Error error = refused(message);
  EXPECT_EQ(error.param, "prompt[1]");
  EXPECT_NE(error.message.find("2147483647"), std::string::npos) << error.message;
  message["prompt"] = {1, -2147483649};
  EXPECT_EQ(refused(message).param, "prompt[1]");
}

TEST(CodecHostile, PromptAndMessagesExcludeEachOther) {
  json message = generate();
  message["messages"] = {{{"role", "user"}, {"content", "x"}}};
  EXPECT_EQ(refused(message).param, "messages");
  message.erase("messages");
  message.erase("prompt");
  EXPECT_EQ(refused(message).param, "prompt");
}

TEST(CodecHostile, RequestIdHasALength) {
  json message = generate();
  message["request_id"] = "";
  EXPECT_EQ(refused(message).param, "request_id");
  message["request_id"] = std::string(129, 'x');
  EXPECT_NE(refused(message).message.find("129"), std::string::npos);
  message.erase("request_id");
  EXPECT_EQ(refused(message).param, "request_id");
}

TEST(CodecHostile, ACacheSaltHasALength) {
  json message = generate();
  message["cache_salt"] = std::string(256, 'x');
  EXPECT_TRUE(decode(packed(message)));
  message["cache_salt"] = std::string(257, 'x');
  const Error error = refused(message);
  EXPECT_EQ(error.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(error.param, "cache_salt");
  EXPECT_EQ(error.message, "cache_salt must be at most 256 bytes long, not 257");
}

TEST(CodecHostile, APromptCacheKeyHasALength) {
  json message = generate();
  message["prompt_cache_key"] = std::string(256, 'x');
  EXPECT_TRUE(decode(packed(message)));
  message["prompt_cache_key"] = std::string(257, 'x');
  EXPECT_EQ(refused(message).param, "prompt_cache_key");
}

TEST(CodecHostile, OtherVersionsAreRefusedWithTheSupportedOnes) {
  json message = generate();
  message["v"] = 2;
  const Error error = refused(message);
  EXPECT_EQ(error.code, ErrorCode::kUnsupportedParameter);
  EXPECT_NE(error.message.find("supported: [1]"), std::string::npos) << error.message;
  message.erase("v");
  EXPECT_EQ(refused(message).param, "v");
}

TEST(CodecHostile, ABadMessageStillTellsItsRequestId) {
  json message = generate();
  message["temperature"] = "hot";
  std::string request_id;
  EXPECT_FALSE(decode(packed(message), &request_id));
  EXPECT_EQ(request_id, "r-9");
}

TEST(CodecHostile, AMessageThatIsTooMuchToReadStillTellsItsRequestId) {
  const auto id_of = [](const std::string& bytes) {
    std::string request_id;
    EXPECT_FALSE(decode(bytes, &request_id));
    return request_id;
  };
  json many = generate();
  many["prompt"] = std::vector<int>(kMaxValues, 1);
  EXPECT_EQ(id_of(packed(many)), "r-9");
  json ordered = generate();
  ordered["a_longer_list_that_comes_first"] = many["prompt"];
  EXPECT_EQ(id_of(packed(ordered)), "r-9");
  json large = generate();
  large["prompt"] = std::string(kMaxMessageBytes, 'x');
  EXPECT_EQ(id_of(packed(large)), "r-9");
  json deep = generate();
  for (int i = 0; i < 70; ++i) deep["messages"] = json::array({deep["messages"]});
  EXPECT_EQ(id_of(packed(deep)), "r-9");
  EXPECT_EQ(id_of(packed(generate()) + "x"), "r-9") << "bytes after the end";
  EXPECT_EQ(id_of(packed(generate()).substr(0, 20)), "") << "it comes after where they break off";
  json bad = generate();
  for (const json& id : {json(7), json(std::string(129, 'r')), json("\xFF"), json::array({"r"})}) {
    bad["request_id"] = id;
    EXPECT_EQ(id_of(packed(bad)), "") << "no request has such an id";
  }
  EXPECT_EQ(id_of(std::string(1000000, '\x81')), "");
}

TEST(CodecHostile, UnknownTypesAreNamed) {
  json message = generate();
  message["type"] = "teleport";
  EXPECT_NE(refused(message).message.find("teleport"), std::string::npos);
}

TEST(CodecHostile, AMessageIsOneMapWithStringKeys) {
  EXPECT_FALSE(decode(""));
  EXPECT_FALSE(decode(packed(json::array({1, 2}))));
  EXPECT_FALSE(decode(packed(7)));
  EXPECT_FALSE(decode(std::string_view("\x81\x01\x02", 3)));  // {1: 2}
  EXPECT_FALSE(decode(packed(generate()) + "x"));
  EXPECT_FALSE(decode("\xC1"));
}

TEST(CodecHostile, TextFieldsMustBeUtf8) {
  json message = generate();
  message["model"] = "\xFF\xFE";
  EXPECT_EQ(refused(message).param, "model");
  message = generate();
  message["prompt"] = "\xED\xA0\x80";  // a surrogate
  EXPECT_EQ(refused(message).param, "prompt");
}

TEST(CodecHostile, DeepNestingDoesNotRecurse) {
  for (const size_t n : {66u, 40000u, 1000000u}) {
    const Result<Message> decoded = decode(std::string(n, '\x91'));
    ASSERT_FALSE(decoded);
    EXPECT_NE(decoded.error().message.find("64"), std::string::npos) << decoded.error().message;
    EXPECT_FALSE(decode(std::string(n, '\x81')));
  }
}

TEST(CodecHostile, DepthIsCountedExactly) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth - 1), '\x91') + '\x90';
  };
  EXPECT_FALSE(scan_msgpack(nested(65), {.max_depth = 64}));
  EXPECT_TRUE(scan_msgpack(nested(64), {.max_depth = 64}));
  const std::string four_deep = packed({{"a", {{"b", {1, 2, {3}}}}}, {"c", {}}});
  EXPECT_TRUE(scan_msgpack(four_deep, {.max_depth = 4}));
  EXPECT_FALSE(scan_msgpack(four_deep, {.max_depth = 3}));
}

TEST(CodecHostile, DeclaredCountsMustFitTheBytes) {
  using namespace std::string_literals;
  for (const std::string& bytes :
       {"\xDD\xFF\xFF\xFF\xFF"s, "\xDF\xFF\xFF\xFF\xFF"s, "\xDB\xFF\xFF\xFF\xFF"s,
        "\xC6\xFF\xFF\xFF\xFF"s, "\xC9\xFF\xFF\xFF\xFF\x01"s, "\xDC\x10\x00\x01"s, "\xDD\x00"s,
        "\xD9"s, "\xCB\x00\x00"s, "\xD8\x01\x02"s, "\xC7\x02\x01\x00"s, "\xA5zz"s}) {
    const Result<Message> decoded = decode(bytes);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code, ErrorCode::kInvalidRequest);
    EXPECT_NE(decoded.error().message.find("byte"), std::string::npos) << decoded.error().message;
  }
}

TEST(CodecHostile, SmallBytesCannotBecomeAHugeTree) {
  std::string nils("\xDD\x00\xFF\xFF\xFF", 5);
  nils.append(0xFFFFFF, '\xC0');
  const Result<Message> decoded = decode(nils.substr(0, kMaxMessageBytes));
  ASSERT_FALSE(decoded);
  std::string empty_arrays("\xDD\x00\x20\x00\x00", 5);
  empty_arrays.append(0x200000, '\x90');
  EXPECT_FALSE(scan_msgpack(empty_arrays, {}));
}

TEST(CodecHostile, OversizedMessagesAreRefusedUnread) {
  const Result<Message> decoded = decode(std::string(kMaxMessageBytes + 1, '\x91'));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, ErrorCode::kPayloadTooLarge);
}

TEST(CodecHostile, EveryTruncationIsAnError) {
  for (const Message& message : testing::one_of_each()) {
    const std::string bytes = encode(message);
    for (size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_FALSE(decode(std::string_view(bytes).substr(0, n))) << type_name(message) << " " << n;
    }
  }
}

TEST(CodecHostile, MutatedMessagesNeverCrashAndWhatDecodesEncodes) {
  lockstep::testing::SeededRandom random(20261121);
  const std::vector<Message> samples = testing::one_of_each();
  int n_decoded = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = encode(samples[static_cast<size_t>(round) % samples.size()]);
    const int64_t n_edits = random.integer(1, 4);
    for (int64_t edit = 0; edit < n_edits; ++edit) {
      const auto at =
          static_cast<size_t>(random.integer(0, static_cast<int64_t>(bytes.size()) - 1));
      bytes[at] = static_cast<char>(random.integer(0, 255));
      if (random.chance(0.1)) bytes.resize(at + 1);
      if (random.chance(0.1)) bytes.insert(at, bytes.substr(at / 2, 8));
    }
    const Result<Message> decoded = decode(bytes);
    if (!decoded) continue;
    ++n_decoded;
    const Result<Message> again = decode(encode(*decoded));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(encode(*again), encode(*decoded));
  }
  EXPECT_GT(n_decoded, 500) << "the mutations no longer reach past the scan";
}

TEST(CodecHostile, StepTimesHaveAllTheirNumbers) {
  const json times = {{"base", 1.5}, {"prompt_token", 1}, {"prompt_context", 0}, {"sequence", 0.2}};
  json message = {{"v", 1}, {"type", "heartbeat"}, {"epoch", 9}, {"step", 2}};
  message["step_times"] = times;
  EXPECT_EQ(refused(message).message, "step_times.context is required");
  message["step_times"]["context"] = "soon";
  EXPECT_EQ(refused(message).message, "step_times.context must be a number, not a string");
  message["step_times"]["context"] = 0.5;
  EXPECT_TRUE(decode(packed(message)));
}

TEST(CodecHostile, JsonDepthCountsBracketsOutsideStrings) {
  EXPECT_TRUE(scan_json(R"({"a":"[[[[[[","b":"\"[[[["})", {.max_depth = 1}));
  EXPECT_TRUE(scan_json("[[[]]]", {.max_depth = 3}));
  EXPECT_FALSE(scan_json("[[[[]]]]", {.max_depth = 3}));
  EXPECT_FALSE(scan_json(std::string(100000, '['), {}));
  EXPECT_FALSE(scan_json(std::string(100000, '{'), {}));
  EXPECT_TRUE(scan_json("\"\\", {.max_depth = 1}));
}

// If JSON and MessagePack values were counted differently, a request could pass the first check and
// fail the second.
TEST(CodecHostile, JsonValuesAreCountedAsThoseOfAMessage) {
  for (const char* text : {R"({"a":1})", R"([1,2,3])", R"({"a":[1,{"b":"c,:"}],"d":null})",
                           R"([{"role":"user","content":"a"},{"role":"user","content":"b"}])"}) {
    size_t n_values = 1;
    while (!scan_msgpack(packed(json::parse(text)), {.max_values = n_values})) ++n_values;
    EXPECT_TRUE(scan_json(text, {.max_values = n_values})) << text;
    EXPECT_FALSE(scan_json(text, {.max_values = n_values - 1})) << text;
  }
}

TEST(CodecHostile, JsonValuesAreCountedOutsideStrings) {
  EXPECT_TRUE(scan_json("[1,2,3]", {.max_values = 4}));
  EXPECT_FALSE(scan_json("[1,2,3,4]", {.max_values = 4}));
  EXPECT_TRUE(scan_json(R"({"a":",,::,,,,","b":"\",,:,"})", {.max_values = 5}));
  EXPECT_FALSE(scan_json(R"({"a":",,::,,,,","b":"\",,:,"})", {.max_values = 4}));
  EXPECT_FALSE(scan_json(R"([{},{},{}])", {.max_values = 4}));
  const std::string commas = '[' + std::string(kMaxJsonValues, ',') + ']';
  const Status refused = scan_json(commas, {.max_values = kMaxJsonValues});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("1047552 values"), std::string::npos)
      << refused.error().message;
}

}  // namespace
}  // namespace lockstep::wire
