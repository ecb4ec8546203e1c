#include "node/service/config/node_config.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <limits>

#include "common/fault_points.h"
#include "common/load_error.h"
#include "common/log.h"
#include "common/text/utf8.h"
#include "node/engine/sequence/context_cut.h"
#include "node/model/kv_dtype.h"
#include "node/model/rank/rank_memory.h"
#include "node/service/config/device_choice.h"
#include "node/service/config/kv_pool_size.h"

namespace lockstep {
namespace {

constexpr int64_t kDefaultMaxModelLen = 8192;
constexpr int64_t kMaxThreads = 256;

void require_range(const char* field, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    throw LoadError(str(field, ": ", value, " is outside ", low, " to ", high));
  }
}

EvictionPolicy parse_policy(const std::string& name) {
  if (const auto policy = parse_eviction_policy(name)) return *policy;
  throw LoadError(str("eviction_policy: '", name, "' is not one of ", kEvictionPolicyNames));
}

KvPoolFacts kv_pool_facts(const ModelFile& file, const RankGroupConfig& ranks) {
  KvPoolFacts facts;
  facts.block_bytes = kv_block_bytes_per_rank(file.config(), ranks) * ranks.n_ranks;
  facts.max_blocks_per_seq = ranks.limits.max_blocks_per_seq();
  return facts;
}

// Sets n_kv_blocks for ranks whose devices have memory of their own. The pool gets no byte of what
// is reserved for CUDA and NCCL, unless its size is given as a number.
void resolve_kv_blocks_of_devices(const KvPoolSetting& setting, const ModelFile& file,
                                  RankGroupConfig& ranks) {
  const int64_t n_free = ranks.devices->free_device_bytes(ranks.n_ranks);
  RankMemory memory = largest_rank_memory(file, ranks);
  if (memory.beside_kv() >= n_free) {
    throw LoadError(str("device: ", ranks.devices->kind(), ": each rank needs ",
                        text_beside_kv(memory), ", and its device has ", n_free, " free"));
  }
  KvPoolFacts facts = kv_pool_facts(file, ranks);
  facts.is_on_devices = true;
  facts.memory_bytes_free = (n_free - memory.beside_kv()) * ranks.n_ranks;
  ranks.n_kv_blocks = kv_pool_blocks(setting, facts);
  memory.kv_blocks = ranks.n_kv_blocks * kv_block_bytes_per_rank(file.config(), ranks);
  if (memory.kv_blocks + memory.beside_kv() - memory.reserved > n_free) {
    throw LoadError(too_little_memory_text(ranks, memory, n_free));
  }
}

void resolve_kv_blocks(const KvPoolSetting& setting, const ModelFile& file, const Machine& machine,
                       RankGroupConfig& ranks) {
  if (!ranks.devices->is_host()) return resolve_kv_blocks_of_devices(setting, file, ranks);
  KvPoolFacts facts = kv_pool_facts(file, ranks);
  facts.memory_bytes_free = machine.available_memory();
  ranks.n_kv_blocks = kv_pool_blocks(setting, facts);
}

// With `auto`, the CPU takes a model for which the GPUs have no room.
void resolve_kv_pool(const NodeConfig& config, const ModelFile& file, const Machine& machine,
                     RankGroupConfig& ranks) {
  const KvPoolSetting setting{config.num_kv_blocks, config.kv_cache_memory_bytes,
                              config.kv_cache_memory_fraction};
  ranks.kv_pool_setting = to_string(setting);
  try {
    resolve_kv_blocks(setting, file, machine, ranks);
  } catch (const LoadError& error) {
    if (config.device != "auto" || ranks.devices->is_host()) throw;
    ranks.devices = cpu_devices();
    ranks.why_cpu = error.what();
    resolve_kv_blocks(setting, file, machine, ranks);
  }
}

// The host tier keeps blocks that the prefix cache evicts, so it needs that cache.
void check_host_tier(const NodeConfig& config) {
  if (config.host_kv_bytes == 0) return;
  const auto refuse = [&](const char* setting) {
    throw LoadError(str("host_kv_bytes: ", config.host_kv_bytes, " and ", setting,
                        ": false contradict each other; host memory keeps what the cache of "
                        "prefixes evicts"));
  };
  if (!config.kv_cache) refuse("kv_cache");
  if (!config.prefix_cache) refuse("prefix_cache");
}

StepLimits resolve_limits(const NodeConfig& config, const ModelFile& file) {
  const int64_t context = file.config().context_length;
  const int64_t max_model_len =
      config.max_model_len != 0 ? config.max_model_len : std::min(context, kDefaultMaxModelLen);
  require_range("max_model_len", max_model_len, 2, context);
  require_range("max_num_seqs", config.max_num_seqs, 1, 1024);
  require_range("max_num_batched_tokens", config.max_num_batched_tokens, 1, 65536);
  require_range("block_size", config.block_size, 1, 256);
  if (!std::has_single_bit(static_cast<uint64_t>(config.block_size))) {
    throw LoadError(str("block_size: ", config.block_size, " is not a power of two"));
  }
  if (config.max_num_batched_tokens < config.max_num_seqs) {
    throw LoadError(str("max_num_batched_tokens: ", config.max_num_batched_tokens,
                        " is less than max_num_seqs: ", config.max_num_seqs,
                        "; every decoding sequence needs one token of a step"));
  }
  StepLimits limits;
  limits.max_tokens = static_cast<int32_t>(config.max_num_batched_tokens);
  limits.max_seqs = static_cast<int32_t>(config.max_num_seqs);
  limits.max_samples = limits.max_seqs;
  limits.max_model_len = static_cast<int32_t>(max_model_len);
  limits.block_size = static_cast<int32_t>(config.block_size);
  return limits;
}

void resolve_context_shift(const NodeConfig& config, EngineConfig& engine) {
  const int32_t max_model_len = engine.limits.max_model_len;
  require_range("keep", config.keep, kKeepPrompt, std::numeric_limits<int32_t>::max());
  if (config.keep != 0 && !config.context_shift) {
    throw LoadError(str("keep: ", config.keep, " needs context_shift, which is false"));
  }
  if (config.keep > 0 && config.keep > max_model_len - 2) {
    throw LoadError(str("keep: ", config.keep, " leaves nothing of max_model_len: ", max_model_len,
                        " to drop; it must be at most ", max_model_len - 2));
  }
  engine.context_shift = config.context_shift;
  engine.n_keep = static_cast<int32_t>(config.keep);
}

}  // namespace

RankGroupConfig resolve_rank_config(const NodeConfig& config, const ModelFile& file,
                                    const Machine& machine) {
  require_range("tensor_parallel_size", config.tensor_parallel_size, 1, kMaxLeaves);
  require_range("threads_per_rank", config.threads_per_rank, 0, kMaxThreads);
  require_range("verbosity", config.verbosity, 0, 3);
  RankGroupConfig ranks;
  DeviceChoice choice = choose_devices(config);
  ranks.devices = std::move(choice.devices);
  ranks.why_cpu = std::move(choice.why_cpu);
  ranks.n_ranks = static_cast<int>(config.tensor_parallel_size);
  ranks.threads_per_rank = config.threads_per_rank > 0
                               ? static_cast<int>(config.threads_per_rank)
                               : std::max(1, machine.available_cpus() / ranks.n_ranks);
  ranks.kv_dtype = kv_dtype_of(config.kv_cache_dtype, file);
  ranks.limits = resolve_limits(config, file);
  ranks.kv_cache = config.kv_cache;
  if (config.kv_cache) {
    resolve_kv_pool(config, file, machine, ranks);
  } else {
    ranks.n_kv_blocks = ranks.limits.max_blocks_per_seq();
  }
  check_host_tier(config);
  ranks.limits.n_host_kv_blocks = host_kv_blocks(
      config.host_kv_bytes, kv_block_bytes_per_rank(file.config(), ranks) * ranks.n_ranks);
  if (ranks.n_kv_blocks < ranks.limits.max_blocks_per_seq()) {
    log(LogLevel::kWarning,
        str("the KV pool of ", ranks.n_kv_blocks, " blocks is smaller than one sequence of ",
            ranks.limits.max_model_len, " tokens (", ranks.limits.max_blocks_per_seq(),
            " blocks); longer requests will be refused"));
  }
  return ranks;
}

int64_t queued_tokens(const NodeConfig& config, const StepLimits& limits) {
  constexpr int64_t kPromptsPerSequence = 16;
  if (config.max_num_queued_tokens != kQueuedTokensByLength) return config.max_num_queued_tokens;
  return kPromptsPerSequence * limits.max_model_len * limits.max_seqs;
}

EngineConfig resolve_engine_config(const NodeConfig& config, const RankGroupConfig& ranks) {
  require_range("max_num_queued_reqs", config.max_num_queued_reqs, 1, int64_t{1} << 20);
  require_range("max_num_queued_tokens", config.max_num_queued_tokens, kQueuedTokensByLength,
                int64_t{1} << 40);
  EngineConfig engine;
  engine.limits = ranks.limits;
  engine.n_kv_blocks = ranks.n_kv_blocks;
  if (!ranks.devices->is_host()) engine.max_steps_in_flight = kMaxStepsInFlight;
  engine.max_queued_requests = static_cast<int32_t>(config.max_num_queued_reqs);
  engine.max_queued_tokens = queued_tokens(config, ranks.limits);
  engine.tenants = resolve_tenants(config.tenants, ranks.n_kv_blocks);
  require_range("itl_target_ms", config.itl_target_ms, 0, 60'000);
  engine.itl_target = std::chrono::milliseconds(config.itl_target_ms);
  engine.kv_cache = config.kv_cache != fault(Fault::kEngineConfiguredOtherwise);
  if (!config.kv_cache && config.prefix_cache) {
    log(LogLevel::kWarning, "kv_cache is false, so prefix_cache has nothing to keep");
  }
  resolve_context_shift(config, engine);
  engine.prefix_cache = config.prefix_cache;
  engine.eviction_policy = parse_policy(config.eviction_policy);
  engine.sanitize_kv = config.sanitize_kv;
  return engine;
}

std::string served_name(const NodeConfig& config) {
  const bool is_given = !config.served_model_name.empty();
  std::filesystem::path path(config.model);
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    path =
        std::filesystem::absolute(path, error).lexically_normal();  // "." and "model/" have no name
    if (!path.has_filename()) path = path.parent_path();
  }
  const std::string name = is_given                      ? config.served_model_name
                           : path.extension() == ".gguf" ? path.stem().string()
                                                         : path.filename().string();
  if (utf8::is_valid(name)) return name;
  throw LoadError(str(is_given ? "served_model_name: '" : "model: the file's name '",
                      utf8::replace_invalid(name), "' is not UTF-8",
                      is_given ? "" : "; give the model another with --served-model-name"));
}

}  // namespace lockstep
