// BlockStore: every (layer, block) has memory of its own, which the ledger counts until it is
// freed.
#include "node/kv/block_store.h"

#include <gtest/gtest.h>

#include <cstring>

#include "common/load_error.h"
#include "kernels/kv_layout.h"
#include "tests/support/cpu_device.h"

namespace lockstep {
namespace {

constexpr BlockStoreShape kShape{.dtype = DType::kF16,
                                 .n_layers = 3,
                                 .n_blocks = 5,
                                 .block_size = 16,
                                 .n_kv_heads = 2,
                                 .head_dim = 32};

TEST(BlockStore, PagesDescribeTheShape) {
  MemoryLedger ledger;
  const BlockStore store(kShape, testing::cpu_device(), ledger);
  const KvPages pages = store.pages(1);
  EXPECT_EQ(pages.dtype, DType::kF16);
  EXPECT_EQ(pages.n_blocks, 5);
  EXPECT_EQ(pages.block_size, 16);
  EXPECT_EQ(pages.n_kv_heads, 2);
  EXPECT_EQ(pages.head_dim, 32);
  EXPECT_EQ(pages.block_bytes, kv_block_bytes(DType::kF16, 16, 2, 32));
}

TEST(BlockStore, NanFillsOneBlockOfEveryLayerAndNothingElse) {
  MemoryLedger ledger;
  BlockStore store(kShape, testing::cpu_device(), ledger);
  for (int layer = 0; layer < kShape.n_layers; ++layer) {
    const KvPages pages = store.pages(layer);
    std::memset(pages.data, 1, static_cast<size_t>(pages.n_blocks * pages.block_bytes));
  }
  store.fill_with_nan(BlockId{3}, testing::cpu_stream());
  for (int layer = 0; layer < kShape.n_layers; ++layer) {
    const KvPages pages = store.pages(layer);
    for (int64_t i = 0; i < pages.n_blocks * pages.block_bytes; ++i) {
      ASSERT_EQ(static_cast<int>(pages.data[i]), i / pages.block_bytes == 3 ? 0xFF : 1) << i;
    }
  }
}

TEST(BlockStore, EveryBlockOfEveryLayerHasItsOwnBytes) {
  MemoryLedger ledger;
  const BlockStore store(kShape, testing::cpu_device(), ledger);
  int mark = 0;
  for (int layer = 0; layer < kShape.n_layers; ++layer) {
    const KvPages pages = store.pages(layer);
    for (int64_t block = 0; block < pages.n_blocks; ++block) {
      std::memset(pages.data + block * pages.block_bytes, ++mark,
                  static_cast<size_t>(pages.block_bytes));
    }
  }
  mark = 0;
  for (int layer = 0; layer < kShape.n_layers; ++layer) {
    const KvPages pages = store.pages(layer);
    for (int64_t i = 0; i < pages.n_blocks * pages.block_bytes; ++i) {
      ASSERT_EQ(static_cast<int>(pages.data[i]), mark + 1 + i / pages.block_bytes);
    }
    mark += static_cast<int>(pages.n_blocks);
  }
}

TEST(BlockStore, ItsBytesAreBookedAndReturned) {
  MemoryLedger ledger;
  {
    const BlockStore store(kShape, testing::cpu_device(), ledger);
    EXPECT_EQ(store.bytes(), kv_bytes_per_block(kShape) * 5);
    EXPECT_EQ(ledger.bytes(MemoryTag::kKv), store.bytes());
  }
  EXPECT_EQ(ledger.bytes(MemoryTag::kKv), 0);
}

TEST(BlockStore, MoreThanTheMachineHasIsALoadErrorWithTheNumbers) {
  MemoryLedger ledger;
  BlockStoreShape huge = kShape;
  huge.n_layers = 1000;
  huge.n_blocks = 2000000000;
  huge.n_kv_heads = 64;
  try {
    const BlockStore store(huge, testing::cpu_device(), ledger);
    FAIL() << "took " << store.bytes() << " bytes";
  } catch (const LoadError& error) {
    EXPECT_NE(std::string(error.what()).find("2000000000 KV blocks"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep
