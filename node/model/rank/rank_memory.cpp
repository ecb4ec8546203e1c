#include "node/model/rank/rank_memory.h"

#include <algorithm>
#include <exception>

#include "common/log.h"
#include "node/model/forward/transformer.h"
#include "node/model/forward/workspace.h"
#include "node/model/weights/rope_table.h"

namespace lockstep {
namespace {

ShardPlan plan_of(const ModelFile& file, const RankGroupConfig& config) {
  return value_or_throw(make_shard_plan(file.config().shape, config.n_ranks));
}

}  // namespace

StreamLimits stream_limits(const ModelConfig& model, const RankShard& shard,
                           const StepLimits& limits) {
  return {.max_tokens = limits.max_tokens,
          .max_dim = std::max(model.shape.hidden_dim, shard.n_ffn),
          .head_dim = model.shape.head_dim,
          .max_samples = limits.max_samples,
          .vocab_size = model.shape.vocab_size};
}

RankMemory rank_memory(const ModelFile& file, const RankGroupConfig& config, int rank) {
  const ShardPlan plan = plan_of(file, config);
  const StepLimits& limits = config.limits;
  RankMemory memory;
  const RankWeights layout = lay_out_weights(file, plan, rank, memory.weights);
  memory.activations = Workspace::bytes(file.config(), plan, rank, layout, limits) +
                       kMaxStepsInFlight * StepSlot::bytes(limits) +
                       RopeTable::bytes(file.config(), limits.max_model_len);
  memory.scratch = config.devices->open(rank, {})->scratch_bytes(
      stream_limits(file.config(), plan.ranks[static_cast<size_t>(rank)], limits));
  memory.reserved = config.devices->reserved_bytes(config.n_ranks);
  memory.kv_blocks = config.n_kv_blocks * kv_block_bytes_per_rank(file.config(), config);
  return memory;
}

RankMemory largest_rank_memory(const ModelFile& file, const RankGroupConfig& config) {
  RankMemory largest;
  for (int rank = 0; rank < config.n_ranks; ++rank) {
    const RankMemory memory = rank_memory(file, config, rank);
    if (memory.beside_kv() > largest.beside_kv()) largest = memory;
  }
  return largest;
}

std::string text_beside_kv(const RankMemory& memory) {
  std::string text =
      str(memory.weights, " bytes for weights, ", memory.activations, " for activations");
  if (memory.reserved == 0) return text;
  return str(text, ", ", memory.scratch, " for scratch of ops, ", memory.reserved,
             " reserved for CUDA and NCCL");
}

std::string too_little_memory_text(const RankGroupConfig& config, const RankMemory& memory,
                                   int64_t n_free) {
  const std::string setting = config.kv_pool_setting.empty()
                                  ? str("num_kv_blocks: ", config.n_kv_blocks)
                                  : config.kv_pool_setting;
  return str(setting, ": each rank takes ", memory.kv_blocks, " bytes for KV blocks, and has ",
             std::max<int64_t>(n_free - memory.beside_kv(), 0), " left for them: ", n_free,
             " bytes free, less ", text_beside_kv(memory));
}

OutOfMemory out_of_memory(const ModelFile& file, const RankGroupConfig& config, int rank) {
  std::string text = str("rank ", rank, " is out of memory");
  try {
    const int64_t n_free = config.devices->open(rank, {})->free_bytes();
    text += ": " + too_little_memory_text(config, rank_memory(file, config, rank), n_free);
  } catch (const std::exception&) {
    // Not even enough for the numbers.
  }
  return OutOfMemory(text);
}

}  // namespace lockstep
