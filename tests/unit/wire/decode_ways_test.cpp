// The direct way of decode() against the tree: what both read is equal, what encode() writes is
// read directly, and everything else is left to the tree.
#include "wire/codec/decode_ways.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/support/random.h"
#include "tests/unit/wire/packed.h"
#include "tests/unit/wire/samples.h"
#include "wire/codec/codec.h"
#include "wire/limits.h"

namespace lockstep::wire {
namespace {

using testing::full_tokens;

// nlohmann::json writes the keys of a map in the order of the alphabet.
nlohmann::ordered_json smallest() {
  return {{"v", 1},      {"type", "tokens"}, {"request_id", "r"},
          {"choice", 0}, {"first_index", 0}, {"ids", nlohmann::ordered_json::array()},
          {"text", ""}};
}

class RandomTokens {
 public:
  explicit RandomTokens(std::mt19937_64& random) : random_(random) {}

  Tokens next() {
    Tokens m;
    m.request_id = "r" + text(127);
    m.choice = static_cast<uint32_t>(number());
    m.first_index = static_cast<uint32_t>(number());
    m.epoch = number();
    m.attempt = static_cast<uint32_t>(number());
    m.text = text(300);
    for (size_t n = random_() % 40; n > 0; --n) m.ids.push_back(id());
    if (coin()) m.finish_reason = text(40);
    if (coin()) m.stop_string = text(40);
    if (coin()) m.stop_token = id();
    for (size_t n = coin() ? random_() % 20 : 0; n > 0; --n) {
      TokenLogprobs& row = m.logprobs.emplace_back();
      row = {bytes(), logprob(), {}, coin()};
      for (size_t k = random_() % 20; k > 0; --k) row.top.push_back({id(), bytes(), logprob()});
    }
    return m;
  }
  bool coin() { return random_() % 2 == 0; }
  uint64_t operator()() { return random_(); }

 private:
  uint64_t number() { return random_() >> (random_() % 64); }
  int32_t id() { return static_cast<int32_t>(number()); }
  float logprob() {
    if (random_() % 16 == 0) return -std::numeric_limits<float>::infinity();
    return -static_cast<float>(number()) / 1024.0f;
  }
  std::string text(size_t max_bytes) {
    std::string out;
    for (size_t n = random_() % (max_bytes / 3 + 1); n > 0; --n) {
      const char* const characters[] = {"a", "\n", "é", "€", "\"", "\x7F"};
      out += characters[random_() % 6];
    }
    return out;
  }
  std::string bytes() {
    std::string out(random_() % 300, '\0');
    for (char& c : out) c = static_cast<char>(random_());
    return coin() ? out : text(300);
  }

  std::mt19937_64& random_;
};

TEST(DecodeWays, WhatEncodeWritesIsReadDirectlyAndAsByTheTree) {
  lockstep::testing::SeededRandom seeded(20261130);
  RandomTokens random(seeded.engine());
  for (int i = 0; i < 300; ++i) {
    Message message = random.next();
    if (random.coin()) {
      TokensBatch batch;
      for (size_t n = random() % 40; n > 0; --n) batch.items.push_back(random.next());
      message = std::move(batch);
    }
    const std::string bytes = encode(message);
    const std::optional<Message> direct = decode_directly(bytes);
    ASSERT_TRUE(direct) << "message " << i;
    EXPECT_EQ(encode(*direct), bytes);
    const Result<Message> tree = decode_by_tree(bytes);
    ASSERT_TRUE(tree) << tree.error().message;
    EXPECT_EQ(encode(*tree), bytes);
  }
}

TEST(DecodeWays, EveryPrefixIsLeftToTheTree) {
  const std::string bytes = encode(TokensBatch{{full_tokens(), full_tokens()}});
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(decode_directly(bytes.substr(0, n)));
  EXPECT_FALSE(decode_directly(bytes + '\0'));
}

TEST(DecodeWays, WhatEncodeDoesNotWriteIsLeftToTheTree) {
  EXPECT_TRUE(decode_directly(packed_in_order(smallest())));
  std::vector<nlohmann::ordered_json> others(8, smallest());
  others[0]["unknown"] = 5;
  others[1]["epoch"] = nullptr;
  others[2]["v"] = 2;
  others[3]["type"] = "done";
  others[4]["request_id"] = std::string(kMaxRequestIdBytes + 1, 'x');
  others[5]["choice"] = -1;
  others[6]["ids"] = {int64_t{1} << 31};
  others[7].erase("text");
  for (const auto& other : others)
    EXPECT_FALSE(decode_directly(packed_in_order(other))) << other.dump();
  const nlohmann::json another_order = smallest();
  const std::vector<uint8_t> bytes = nlohmann::json::to_msgpack(another_order);
  const std::string in_another_order(bytes.begin(), bytes.end());
  EXPECT_FALSE(decode_directly(in_another_order));
  EXPECT_TRUE(decode(in_another_order));
}

TEST(DecodeWays, ListsThatCannotFitTakeNoMemory) {
  std::string bytes = packed_in_order({{"v", 1}, {"type", "tokens_batch"}});
  bytes[0] = '\x83';
  bytes += "\xA5items\xDD\xFF\xFF\xFF\xFF";
  bytes.resize(bytes.size() + 1000, '\x80');
  EXPECT_FALSE(decode_directly(bytes));
}

TEST(DecodeWays, ANotANumberIsLeftToTheTree) {
  Tokens tokens = full_tokens();
  tokens.logprobs[0].logprob = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(decode_directly(encode(tokens)));
  EXPECT_TRUE(decode(encode(tokens)));
}

}  // namespace
}  // namespace lockstep::wire
