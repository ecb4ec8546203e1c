// The KV pool of ranks on GPUs takes what the rest of a rank leaves, and nothing of what is
// reserved for CUDA and NCCL, unless its size is given as a number.
#include <gtest/gtest.h>

#include "common/load_error.h"
#include "node/model/rank/rank_memory.h"
#include "node/service/config/node_config.h"
#include "tests/support/fake_model_file.h"

#ifdef LOCKSTEP_EMULATED_CUDA
namespace lockstep::testing {
namespace {

class GpuKvPool : public ::testing::TestWithParam<int> {
 protected:
  GpuKvPool() {
    config_.device = "cuda";
    config_.cuda_module = LOCKSTEP_EMULATED_CUDA;
    config_.nccl_library = LOCKSTEP_EMULATED_NCCL;
    config_.tensor_parallel_size = GetParam();
    config_.max_num_seqs = 4;
    config_.max_num_batched_tokens = 16;
  }

  const FakeModelFile file_{FakeModelSpec{}};
  NodeConfig config_;
};
INSTANTIATE_TEST_SUITE_P(Ranks, GpuKvPool, ::testing::Values(1, 2));

TEST_P(GpuKvPool, LeavesWhatIsReservedForCudaAndNccl) {
  config_.kv_cache_memory_fraction = 1;
  const RankGroupConfig ranks = resolve_rank_config(config_, file_);
  const RankMemory memory = largest_rank_memory(file_, ranks);
  EXPECT_GT(memory.reserved, 0);
  EXPECT_EQ(memory.reserved, ranks.devices->reserved_bytes(GetParam()));
  const int64_t n_left = ranks.devices->free_device_bytes(GetParam()) - memory.beside_kv();
  EXPECT_LE(memory.kv_blocks, n_left);
  EXPECT_GT(memory.kv_blocks + kv_block_bytes_per_rank(file_.config(), ranks), n_left)
      << "one more block has room";
}

TEST_P(GpuKvPool, AsANumberItMayTakeTheReserveAndNoByteMore) {
  config_.kv_cache_memory_fraction = 1;
  RankGroupConfig ranks = resolve_rank_config(config_, file_);
  const int64_t n_reserved = ranks.devices->reserved_bytes(GetParam());
  const int64_t n_more = n_reserved / kv_block_bytes_per_rank(file_.config(), ranks);
  config_.kv_cache_memory_fraction = 0;
  config_.num_kv_blocks = ranks.n_kv_blocks + n_more;
  EXPECT_EQ(resolve_rank_config(config_, file_).n_kv_blocks, config_.num_kv_blocks);
  config_.num_kv_blocks += 2;
  EXPECT_THROW(resolve_rank_config(config_, file_), LoadError);
}

}  // namespace
}  // namespace lockstep::testing
#endif
