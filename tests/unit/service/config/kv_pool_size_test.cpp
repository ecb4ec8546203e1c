#include "node/service/config/kv_pool_size.h"

#include <gtest/gtest.h>

#include "common/load_error.h"

namespace lockstep {
namespace {

constexpr KvPoolFacts kFacts{.block_bytes = 1000, .max_blocks_per_seq = 8, .memory_bytes_free = 0};

std::string refused(const KvPoolSetting& setting, const KvPoolFacts& facts = kFacts) {
  try {
    kv_pool_blocks(setting, facts);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "";
}

TEST(KvPoolSize, FourSequencesButAtMostAQuarterOfTheFreeMemory) {
  KvPoolFacts facts = kFacts;
  EXPECT_EQ(kv_pool_blocks({}, facts), 32);
  facts.memory_bytes_free = 1'000'000;
  EXPECT_EQ(kv_pool_blocks({}, facts), 32);
  facts.memory_bytes_free = 40'999;
  EXPECT_EQ(kv_pool_blocks({}, facts), 10);
  facts.memory_bytes_free = 1;
  EXPECT_EQ(kv_pool_blocks({}, facts), 1);
}

TEST(KvPoolSize, OnDevicesItIsNineTenthsOfWhatIsFree) {
  KvPoolFacts facts = kFacts;
  facts.is_on_devices = true;
  facts.memory_bytes_free = 1'000'000;
  EXPECT_EQ(kv_pool_blocks({}, facts), 900);
  EXPECT_EQ(kv_pool_blocks({.n_blocks = 7}, facts), 7);
  facts.memory_bytes_free = 1000;
  EXPECT_EQ(refused({}, facts),
            "90 % of the 1000 free bytes of the devices holds no KV block; one takes 1000 bytes");
}

TEST(KvPoolSize, IsGivenInBlocksBytesOrAsAFraction) {
  KvPoolFacts facts = kFacts;
  facts.memory_bytes_free = 100'000;
  EXPECT_EQ(kv_pool_blocks({.n_blocks = 7}, facts), 7);
  EXPECT_EQ(kv_pool_blocks({.memory_bytes = 7999}, facts), 7);
  EXPECT_EQ(kv_pool_blocks({.memory_fraction = 0.5}, facts), 50);
  EXPECT_EQ(kv_pool_blocks({.memory_fraction = 1}, facts), 100);
}

TEST(KvPoolSize, TwoThatContradictAreBothNamed) {
  EXPECT_EQ(refused({.n_blocks = 64, .memory_bytes = 5000}),
            "num_kv_blocks: 64 and kv_cache_memory_bytes: 5000 both size the KV pool; give one of "
            "them");
  EXPECT_EQ(refused({.n_blocks = 64, .memory_fraction = 0.5}),
            "num_kv_blocks: 64 and kv_cache_memory_fraction: 0.5 both size the KV pool; give one "
            "of them");
  EXPECT_NE(refused({.memory_bytes = 5000, .memory_fraction = 0.5}), "");
}

TEST(KvPoolSize, APoolOfNoBlockIsRefusedWithTheNumbers) {
  EXPECT_EQ(refused({.memory_bytes = 999}),
            "kv_cache_memory_bytes: 999 holds no KV block; one takes 1000 bytes");
  KvPoolFacts facts = kFacts;
  facts.memory_bytes_free = 5000;
  EXPECT_EQ(refused({.memory_fraction = 0.1}, facts),
            "kv_cache_memory_fraction: 0.1 of 5000 free bytes holds no KV block; one takes 1000 "
            "bytes");
}

TEST(KvPoolSize, NumbersOutOfRangeAreRefused) {
  EXPECT_NE(refused({.n_blocks = -1}), "");
  EXPECT_NE(refused({.n_blocks = (int64_t{1} << 30) + 1}), "");
  EXPECT_NE(refused({.memory_bytes = -1}), "");
  EXPECT_EQ(refused({.memory_fraction = 1.5}), "kv_cache_memory_fraction: 1.5 is outside 0 to 1");
  EXPECT_NE(refused({.memory_fraction = -0.5}), "");
}

}  // namespace
}  // namespace lockstep
