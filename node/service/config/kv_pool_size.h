// kv_pool_blocks: the number of KV blocks of a node, from the one setting that gives it or by
// default. Pure.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

// The three settings of the pool's size; at most one of them is given (not 0).
struct KvPoolSetting {
  int64_t n_blocks = 0;        // --num-kv-blocks
  int64_t memory_bytes = 0;    // --kv-cache-memory-bytes, of all ranks together
  double memory_fraction = 0;  // --kv-cache-memory-fraction, of the memory that is free
};

struct KvPoolFacts {
  int64_t block_bytes = 0;         // of one block, on all ranks together
  int32_t max_blocks_per_seq = 0;  // of a sequence of max_model_len
  int64_t memory_bytes_free = 0;   // of all ranks' devices together; 0 = unknown
  bool is_on_devices = false;      // the memory is of devices, and nothing else uses it
};

// The given setting with its value, or that of the default: "num_kv_blocks: 0".
std::string to_string(const KvPoolSetting& setting);

// The default holds 4 sequences of max_model_len, in at most a quarter of the free memory. On
// devices it is 90 % of the free memory, since what CUDA and NCCL take by themselves is an
// estimate. Throws LoadError: for two given switches it names both values, for a pool of no block
// the numbers.
int32_t kv_pool_blocks(const KvPoolSetting& setting, const KvPoolFacts& facts);

// Returns the number of blocks, over all ranks, that so many bytes of host memory hold; 0 for 0
// bytes. Throws LoadError, which names the numbers, if that is less than one.
int32_t host_kv_blocks(int64_t host_kv_bytes, int64_t block_bytes);

}  // namespace lockstep
