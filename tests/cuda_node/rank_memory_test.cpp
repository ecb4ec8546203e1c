// What a rank takes of a GPU's memory is known before it is allocated, and is in the message if it
// does not suffice.
#include "node/model/rank/rank_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/load_error.h"
#include "tests/cuda_node/ranks_on_gpus.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

int64_t device_bytes(const MemoryLedger& ledger) {
  int64_t n_bytes = 0;
  for (size_t tag = 0; tag < kNumMemoryTags; ++tag) {
    n_bytes += ledger.bytes(static_cast<MemoryTag>(tag), MemoryPlace::kDevice);
  }
  return n_bytes;
}

class RankMemoryOf : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, RankMemoryOf, ::testing::Values(1, 2, 3));

TEST_P(RankMemoryOf, IsWhatTheRanksAllocate) {
  const FakeModelFile file = three_heads();
  RankGroupConfig config = config_of(GetParam());
  config.devices = emulated_gpus(GetParam());
  MemoryLedger ledger;
  const RankGroup group(file, config, ledger);
  for (int rank = 0; rank < GetParam(); ++rank) {
    const RankMemory memory = rank_memory(file, config, rank);
    const MemoryLedger& of_rank = ledger.of_rank(rank);
    const auto on_device = [&](MemoryTag tag) { return of_rank.bytes(tag, MemoryPlace::kDevice); };
    EXPECT_EQ(on_device(MemoryTag::kWeights), memory.weights);
    EXPECT_GE(memory.scratch, int64_t{32} << 20);
    EXPECT_LE(on_device(MemoryTag::kKv), memory.kv_blocks);
    EXPECT_EQ(device_bytes(of_rank) - on_device(MemoryTag::kKv),
              memory.beside_kv() - memory.reserved);
    EXPECT_LE(memory.beside_kv(), largest_rank_memory(file, config).beside_kv());
  }
}

TEST(RankMemory, HasAnAllowanceForNcclIfThereAreSeveralRanks) {
  const int64_t alone = emulated_gpus(1)->reserved_bytes(1);
  EXPECT_GT(alone, 0);
  EXPECT_GT(emulated_gpus(2)->reserved_bytes(2), alone);
  EXPECT_EQ(cpu_devices()->reserved_bytes(2), 0);
}

TEST(RankMemory, TooLittleOfItIsNamedWithTheSettingAndTheNumbers) {
  const FakeModelFile file = three_heads();
  RankGroupConfig config = config_of(1);
  config.devices = emulated_gpus(1);
  config.n_kv_blocks = 1 << 24;
  config.kv_pool_setting = "kv_cache_memory_bytes: 123456789";
  const int64_t n_free = config.devices->free_device_bytes(1);
  const RankMemory memory = rank_memory(file, config, 0);
  MemoryLedger ledger;
  try {
    const RankGroup group(file, config, ledger);
    FAIL() << "the blocks were allocated";
  } catch (const LoadError& error) {
    const std::string line = error.what();
    EXPECT_THAT(
        line, StartsWith("rank 0 is out of memory: kv_cache_memory_bytes: 123456789: each rank "));
    for (const int64_t n : {memory.kv_blocks, n_free - memory.beside_kv(), n_free, memory.weights,
                            memory.activations, memory.scratch, memory.reserved}) {
      EXPECT_THAT(line, HasSubstr(" " + std::to_string(n) + " "));
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
