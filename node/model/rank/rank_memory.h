// RankMemory: what a rank takes of its device's memory, counted before anything is allocated. The
// size of the KV pool and the messages about too little memory come from it. Pure, but for opening
// the rank's device.
#pragma once

#include <cstdint>
#include <string>

#include "common/load_error.h"
#include "node/model/model_file.h"
#include "node/model/rank/rank_group.h"
#include "parallel/shard_plan.h"

namespace lockstep {

// Bytes of one rank.
struct RankMemory {
  int64_t weights = 0;
  int64_t activations = 0;  // workspace, RoPE table, plans and outputs of the steps in flight
  int64_t scratch = 0;      // of the stream; 0 on CPUs, where it is not counted
  // For what CUDA and NCCL allocate by themselves: DeviceProvider::reserved_bytes().
  int64_t reserved = 0;
  int64_t kv_blocks = 0;

  int64_t beside_kv() const { return weights + activations + scratch + reserved; }
};

// Throws LoadError naming the tensor that is missing, and as DeviceProvider::open() does.
RankMemory rank_memory(const ModelFile& file, const RankGroupConfig& config, int rank);
// That of the rank that takes the most beside the KV blocks.
RankMemory largest_rank_memory(const ModelFile& file, const RankGroupConfig& config);

// "10 bytes for weights, 20 for activations, 30 for scratch of ops, 40 reserved for CUDA and NCCL"
std::string text_beside_kv(const RankMemory& memory);

// The line for ranks whose device has too few free bytes: the setting that sizes the KV pool, and
// every number.
std::string too_little_memory_text(const RankGroupConfig& config, const RankMemory& memory,
                                   int64_t n_free);

// That line as the error of a rank whose memory could not be allocated. What it had allocated must
// be free again.
OutOfMemory out_of_memory(const ModelFile& file, const RankGroupConfig& config, int rank);

// The sizes of the largest ops of a rank.
StreamLimits stream_limits(const ModelConfig& model, const RankShard& shard,
                           const StepLimits& limits);

}  // namespace lockstep
