// Batches of KV events decode to what was encoded, by a node and by vLLM's structs; what is no
// batch is an error that names the field.
#include "wire/codec/kv_event_batch.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/kv_event_bytes.h"
#include "tests/support/random.h"
#include "tests/unit/wire/packed.h"
#include "wire/limits.h"

namespace lockstep::wire {
namespace {

using lockstep::testing::SeededRandom;
using nlohmann::json;
using Hashes = std::vector<uint64_t>;

// msgspec.msgpack.encode() of vLLM's structs with every field set, of a batch with the epoch and
// one more element. The events: all cleared, two blocks stored, one block stored in CPU memory, one
// removed of KV cache group 2, two removed.
constexpr std::string_view kOfVllm =
    "95cb3ff80000000000009581a474797065b0416c6c426c6f636b73436c65617265648da474797065ab426c6f"
    "636b53746f726564ac626c6f636b5f6861736865739201cfffffffffffffffffb1706172656e745f626c6f63"
    "6b5f68617368c0a9746f6b656e5f6964739405cc80ce0001117000aa626c6f636b5f73697a6502a76c6f7261"
    "5f696407a66d656469756da3475055a96c6f72615f6e616d65a16caa65787472615f6b6579739292a3696d67"
    "01c0a967726f75705f69647800b26b765f63616368655f737065635f6b696e64a466756c6cbc6b765f636163"
    "68655f737065635f736c6964696e675f77696e646f77cd1000a86c6f63616c697479a46e65617288a4747970"
    "65ab426c6f636b53746f726564ac626c6f636b5f6861736865739109b1706172656e745f626c6f636b5f6861"
    "736803a9746f6b656e5f6964739101aa626c6f636b5f73697a6501a76c6f72615f6964c0a66d656469756da3"
    "435055a96c6f72615f6e616d65c084a474797065ac426c6f636b52656d6f766564ac626c6f636b5f68617368"
    "65739109a66d656469756da3475055a967726f75705f6964780284a474797065ac426c6f636b52656d6f7665"
    "64ac626c6f636b5f68617368657392cd012ccf0000000100000000a66d656469756dc0a86c6f63616c697479"
    "a3666172c0cf800000000000000081a1619101";

std::string bytes_of(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

KvEventBatch decoded(std::string_view bytes) {
  KvEventBatch batch;
  const Status status = decode_kv_events(bytes, batch);
  EXPECT_TRUE(status) << (status ? "" : status.error().message);
  return batch;
}

KvEventBatch random_batch(SeededRandom& random) {
  KvEventBatch batch;
  batch.unix_seconds = static_cast<double>(random.integer(0, 1 << 30)) / 8;
  batch.epoch = random.engine()();
  for (int64_t n = random.integer(0, 20); n > 0; --n) {
    Hashes hashes(static_cast<size_t>(random.integer(1, 20)));
    for (uint64_t& hash : hashes) hash = random.engine()() >> random.integer(0, 63);
    const int64_t kind = random.integer(0, 2);
    if (kind == 0) {
      lockstep::testing::add_cleared(batch);
    } else if (kind == 1) {
      lockstep::testing::add_removed(batch, hashes);
    } else {
      const auto parent = random.chance(0.5) ? std::optional(random.engine()()) : std::nullopt;
      lockstep::testing::add_stored(batch, parent, hashes, random.integer(1, 32));
    }
  }
  return batch;
}

TEST(KvEventBatch, WhatANodeEncodesIsDecoded) {
  SeededRandom random(7001);
  KvEventBatch batch;  // its memory is used again
  for (int i = 0; i < 300; ++i) {
    const KvEventBatch sent = random_batch(random);
    const std::string salt = random.chance(0.5) ? "te\xff" : "";
    const std::string bytes = lockstep::testing::encoded_kv_events(sent, salt);
    ASSERT_TRUE(decode_kv_events(bytes, batch));
    ASSERT_EQ(batch, sent);
    ASSERT_EQ(lockstep::testing::encoded_kv_events(batch, salt), bytes);
  }
}

TEST(KvEventBatch, VllmsStructsAreDecodedWithoutOtherMemoryAndOtherGroups) {
  KvEventBatch expected;
  expected.unix_seconds = 1.5;
  expected.epoch = uint64_t{1} << 63;
  lockstep::testing::add_cleared(expected);
  lockstep::testing::add_stored(expected, {}, {1, ~uint64_t{0}}, 2);
  lockstep::testing::add_removed(expected, {300, uint64_t{1} << 32});
  EXPECT_EQ(decoded(bytes_of(kOfVllm)), expected);
}

TEST(KvEventBatch, NoPrefixOfABatchIsABatch) {
  const std::string bytes = bytes_of(kOfVllm);
  KvEventBatch batch;
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_kv_events(std::string_view(bytes).substr(0, n), batch)) << n;
  }
  EXPECT_FALSE(decode_kv_events(bytes + '\xc0', batch));
}

json stored() {
  return {{"type", "BlockStored"}, {"block_hashes", {1, 2}},       {"parent_block_hash", nullptr},
          {"block_size", 2},       {"token_ids", {5, 6, -7, 8.5}}, {"medium", "GPU"}};
}

TEST(KvEventBatch, ErrorsNameTheField) {
  const auto refused = [](const json& batch, std::string_view param) {
    KvEventBatch out;
    const Status status = decode_kv_events(packed(batch), out);
    ASSERT_FALSE(status) << batch.dump();
    EXPECT_EQ(status.error().param, param) << status.error().message;
    EXPECT_NE(status.error().message.find(param), std::string::npos);
  };
  EXPECT_EQ(decoded(packed({1.5, {stored()}, 0, 42})).hashes, (Hashes{1, 2}));
  refused(7, "batch");
  refused({1.5, json::array(), 0}, "batch");  // vLLM's own batches have no epoch
  refused({1, json::array(), 0, 42}, "time");
  refused({1.5, 7, 0, 42}, "events");
  refused({1.5, json::array(), 0, -1}, "epoch");
  refused({1.5, json::array(), 0, nullptr}, "epoch");
  refused({1.5, {stored(), 7}, 0, 42}, "events[1]");
  const std::vector<std::pair<std::string, json>> cases = {
      {"type", "BlockMoved"},    {"type", 7},
      {"type", nullptr},         {"block_hashes", nullptr},
      {"block_hashes", {1, -2}}, {"block_hashes", {1, "x"}},
      {"block_hashes", {1}},     {"parent_block_hash", "x"},
      {"parent_block_hash", -1}, {"token_ids", {5, 6, 7}},
      {"token_ids", nullptr},    {"block_size", 0},
      {"block_size", -2},        {"block_size", uint64_t{1} << 33},
      {"block_size", nullptr},   {"medium", 7},
      {"group_idx", "x"},
  };
  for (const auto& [field, value] : cases) {
    json event = stored();
    event[field] = value;
    const bool by_tokens = field == "block_hashes" && value == json({1});
    refused({1.5, {event}, 0, 42}, "events[0]." + (by_tokens ? "token_ids" : field));
  }
  json without = stored();
  without.erase("block_hashes");
  refused({1.5, {without}, 0, 42}, "events[0].block_hashes");
  refused({1.5, {{{"type", "BlockRemoved"}}}, 0, 42}, "events[0].block_hashes");
}

TEST(KvEventBatch, AFieldThatIsGivenTwiceIsAnError) {
  // [1.0, [{"type": "AllBlocksCleared", "type": "AllBlocksCleared"}], 0, 0]
  const std::string type =
      "\xa4type\xb0"
      "AllBlocksCleared";
  const std::string head = bytes_of("94cb3ff000000000000091");
  KvEventBatch batch;
  EXPECT_TRUE(decode_kv_events(head + "\x81" + type + std::string(2, '\0'), batch));
  const Status twice = decode_kv_events(head + "\x82" + type + type + std::string(2, '\0'), batch);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().param, "events[0].type");
}

TEST(KvEventBatch, CountsThatAreNotThereTakeNoMemory) {
  KvEventBatch batch;
  // 2^32 - 1 events, and as many hashes
  EXPECT_FALSE(decode_kv_events(bytes_of("94cb3ff0000000000000ddffffffff"), batch));
  const std::string hashes = bytes_of("94cb3ff00000000000009181ac") + "block_hashes";
  EXPECT_FALSE(decode_kv_events(hashes + bytes_of("ddffffffff01"), batch));
  EXPECT_LE(batch.hashes.capacity() + batch.events.capacity(), 8u);
  const Status long_batch = decode_kv_events(std::string(kMaxFrameBytes + 1, '\x90'), batch);
  ASSERT_FALSE(long_batch);
  EXPECT_EQ(long_batch.error().code, ErrorCode::kPayloadTooLarge);
}

TEST(KvEventFrames, LiveMessagesAndAnswers) {
  const std::string seven = encode_kv_sequence(7), end = encode_kv_sequence(kKvEnd);
  const auto read = [](const std::vector<std::string_view>& frames) {
    return read_kv_frames(frames);
  };
  const auto live = read({"kv@a:1@m", seven, "batch"});
  ASSERT_TRUE(live);
  EXPECT_EQ(live->topic, "kv@a:1@m");
  EXPECT_EQ(live->seq, 7u);
  EXPECT_EQ(live->batch, "batch");
  EXPECT_FALSE(live->is_end);
  const auto answer = read({"", "kv@a:1@m", seven, "batch"});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->batch, "batch");
  ASSERT_TRUE(read({"", "", end, ""}));
  EXPECT_TRUE(read({"", "", end, ""})->is_end);
  EXPECT_FALSE(read({"", "topic", end, ""}));
  EXPECT_FALSE(read({"", "", end, "batch"}));
  EXPECT_FALSE(read({"", end, ""}));  // the end of an answer that nobody asked for
  EXPECT_FALSE(read({"x", "kv@a:1@m", seven, "batch"}));
  EXPECT_FALSE(read({"kv@a:1@m", "7", "batch"}));
  EXPECT_FALSE(read({"kv@a:1@m", seven}));
  EXPECT_FALSE(read({}));
}

}  // namespace
}  // namespace lockstep::wire
