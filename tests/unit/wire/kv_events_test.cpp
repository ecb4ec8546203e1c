// KV events: the bytes equal those of msgspec for vLLM 0.32's structs.
#include "wire/codec/kv_events.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace lockstep::wire {
namespace {

// msgspec.msgpack.encode() of vLLM's KVEventBatch with a fourth element, the epoch. The events: two
// blocks at the start of a prefix with a salt, one block after them, two blocks removed, all
// cleared.
constexpr std::string_view kGolden =
    "94cb41d954fc40100000948aa474797065ab426c6f636b53746f726564ac626c6f636b5f6861736865739201"
    "cfffffffffffffffffb1706172656e745f626c6f636b5f68617368c0a9746f6b656e5f6964739405cc80ce00"
    "01117000aa626c6f636b5f73697a6502a76c6f72615f6964c0a66d656469756da3475055a96c6f72615f6e61"
    "6d65c0aa65787472615f6b6579739291a3746561c0a967726f75705f6964780089a474797065ab426c6f636b"
    "53746f726564ac626c6f636b5f68617368657391cfdeadbeef12345678b1706172656e745f626c6f636b5f68"
    "617368cfffffffffffffffffa9746f6b656e5f696473920708aa626c6f636b5f73697a6502a76c6f72615f69"
    "64c0a66d656469756da3475055a96c6f72615f6e616d65c0a967726f75705f6964780084a474797065ac426c"
    "6f636b52656d6f766564ac626c6f636b5f68617368657392cd012ccf0000000100000000a66d656469756da3"
    "475055a967726f75705f6964780081a474797065b0416c6c426c6f636b73436c6561726564002a";

std::string hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

TEST(KvEvents, TheBytesAreThoseOfVllm) {
  const std::vector<uint64_t> chain{1, ~uint64_t{0}}, child{0xdeadbeef12345678},
      gone{300, 1ull << 32};
  const std::vector<int32_t> four{5, 128, 70000, 0}, two{7, 8};
  std::string out;
  KvEventWriter writer(out, 1700000000.25, 42, 4);
  writer.stored({.hashes = chain, .parent = {}, .tokens = four, .block_size = 2, .salt = "tea"});
  writer.stored(
      {.hashes = child, .parent = ~uint64_t{0}, .tokens = two, .block_size = 2, .salt = "tea"});
  writer.removed(gone);
  writer.cleared();
  writer.finish();
  EXPECT_EQ(hex(out), kGolden);
}

TEST(KvEvents, ASaltThatIsNoUtf8IsBytes) {
  const std::vector<uint64_t> hashes{1};
  const std::vector<int32_t> tokens{5};
  std::string out;
  KvEventWriter writer(out, 0, 0, 1);
  writer.stored(
      {.hashes = hashes, .parent = {}, .tokens = tokens, .block_size = 1, .salt = "\xff"});
  writer.finish();
  const auto batch = nlohmann::json::from_msgpack(out);
  EXPECT_TRUE(batch[1][0]["extra_keys"][0][0].is_binary());
}

TEST(KvEventsDeathTest, AsManyEventsAsWereAnnounced) {
  std::string out;
  KvEventWriter writer(out, 0, 0, 1);
  EXPECT_DEATH(writer.finish(), "n_left_");
  writer.cleared();
  EXPECT_DEATH(writer.cleared(), "n_left_");
}

TEST(KvEvents, SequenceNumbersAreEightBytesBigEndian) {
  EXPECT_EQ(hex(encode_kv_sequence(0x0102030405060708)), "0102030405060708");
  EXPECT_EQ(hex(encode_kv_sequence(~uint64_t{0})), "ffffffffffffffff");
  for (uint64_t seq : {uint64_t{0}, uint64_t{255}, uint64_t{256}, ~uint64_t{0}}) {
    EXPECT_EQ(decode_kv_sequence(encode_kv_sequence(seq)), seq);
  }
  EXPECT_EQ(decode_kv_sequence(""), std::nullopt);
  EXPECT_EQ(decode_kv_sequence("1234567"), std::nullopt);
  EXPECT_EQ(decode_kv_sequence("123456789"), std::nullopt);
}

}  // namespace
}  // namespace lockstep::wire
