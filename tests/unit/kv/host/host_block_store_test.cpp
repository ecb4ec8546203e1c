// HostBlockStore: a load gives what was stored, or fails and writes nothing.
#include "node/kv/host/host_block_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/load_error.h"
#include "tests/support/cpu_device.h"
#include "tests/support/random.h"

namespace lockstep::testing {
namespace {

constexpr BlockStoreShape kShape{.dtype = DType::kF16,
                                 .n_layers = 3,
                                 .n_blocks = 5,
                                 .block_size = 4,
                                 .n_kv_heads = 1,
                                 .head_dim = 16};

class HostBlockStoreTest : public ::testing::Test {
 protected:
  void fill(BlockId block, uint64_t seed) {
    SeededRandom random(seed);
    std::vector<std::byte> bytes(static_cast<size_t>(kv_bytes_per_block(kShape)));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.integer(0, 255));
    cpu_stream().copy_to_device(kv_.copy_of(block, bytes.data()));
  }
  std::vector<std::byte> content(BlockId block) {
    std::vector<std::byte> all(static_cast<size_t>(kv_bytes_per_block(kShape)));
    cpu_stream().copy_to_host(kv_.copy_of(block, all.data()));
    return all;
  }

  void store(BlockId from, HostBlockId to, uint64_t tag) {
    host_.store(from, to, tag);
    host_.finish_stores(host_.n_stored());
  }

  MemoryLedger ledger_;
  BlockStore kv_{kShape, cpu_device(), ledger_};
  HostBlockStore host_{3, 8, kv_, cpu_device(), cpu_stream(), ledger_};
};

TEST_F(HostBlockStoreTest, WhatWasStoredComesBackIntoAnotherBlock) {
  fill(BlockId{1}, 1);
  const std::vector<std::byte> stored = content(BlockId{1});
  store(BlockId{1}, HostBlockId{2}, 77);
  kv_.fill_with_nan(BlockId{1}, cpu_stream());
  ASSERT_TRUE(host_.load(HostBlockId{2}, 77, BlockId{4}));
  EXPECT_EQ(content(BlockId{4}), stored);
  ASSERT_TRUE(host_.load(HostBlockId{2}, 77, BlockId{0}));  // a block can be loaded repeatedly
  EXPECT_EQ(content(BlockId{0}), stored);
}

TEST_F(HostBlockStoreTest, EachBitThatFlipsIsFoundAndNothingIsWritten) {
  fill(BlockId{1}, 2);
  fill(BlockId{3}, 3);
  const std::vector<std::byte> before = content(BlockId{3});
  store(BlockId{1}, HostBlockId{0}, 5);
  const std::span<std::byte> bytes = host_.bytes_of(HostBlockId{0});
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    const auto mask = static_cast<std::byte>(1 << bit % 8);
    bytes[bit / 8] ^= mask;
    ASSERT_FALSE(host_.load(HostBlockId{0}, 5, BlockId{3})) << "bit " << bit;
    bytes[bit / 8] ^= mask;
  }
  EXPECT_EQ(content(BlockId{3}), before);
  EXPECT_TRUE(host_.load(HostBlockId{0}, 5, BlockId{3}));
}

TEST_F(HostBlockStoreTest, WhatWasStoredUnderAnotherTagIsNotLoaded) {
  store(BlockId{1}, HostBlockId{0}, 5);
  EXPECT_FALSE(host_.load(HostBlockId{0}, 6, BlockId{3}));
  EXPECT_FALSE(host_.load(HostBlockId{1}, 5, BlockId{3}));  // never stored
  store(BlockId{2}, HostBlockId{0}, 6);
  EXPECT_FALSE(host_.load(HostBlockId{0}, 5, BlockId{3}));
  EXPECT_TRUE(host_.load(HostBlockId{0}, 6, BlockId{3}));
}

TEST_F(HostBlockStoreTest, AStoreThatIsNotFinishedIsFinishedByALoadOfItsBlock) {
  fill(BlockId{1}, 1);
  fill(BlockId{2}, 2);
  host_.store(BlockId{1}, HostBlockId{0}, 5);
  host_.store(BlockId{2}, HostBlockId{1}, 6);
  ASSERT_EQ(host_.n_stored(), 2u);
  host_.finish_stores(1);
  ASSERT_TRUE(host_.load(HostBlockId{1}, 6, BlockId{3}));
  EXPECT_EQ(content(BlockId{3}), content(BlockId{2}));
  ASSERT_TRUE(host_.load(HostBlockId{0}, 5, BlockId{4}));
  EXPECT_EQ(content(BlockId{4}), content(BlockId{1}));
  host_.finish_stores(2);  // has nothing left to do
  EXPECT_EQ(host_.n_stored(), 2u);
}

TEST_F(HostBlockStoreTest, ItsBytesAreBookedAndTooManyAreRefusedWithTheNumbers) {
  EXPECT_EQ(ledger_.bytes(MemoryTag::kKvHost), 3 * kv_bytes_per_block(kShape));
  BlockStore wide(
      {.n_layers = 8, .n_blocks = 1, .block_size = 256, .n_kv_heads = 64, .head_dim = 256},
      cpu_device(), ledger_);
  try {
    const HostBlockStore huge(INT32_MAX, 8, wide, cpu_device(), cpu_stream(), ledger_);
    FAIL() << "took more than an address space";
  } catch (const LoadError& error) {
    EXPECT_NE(std::string(error.what()).find("2147483647 KV blocks"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep::testing
