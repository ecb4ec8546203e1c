#include "node/model/rank/rank_settings.h"

#include "common/check.h"
#include "common/fault_points.h"
#include "common/load_error.h"
#include "common/log.h"
#include "node/model/kv_dtype.h"
#include "node/model/rank/rank_group.h"

namespace lockstep {
RankSettings rank_settings(const RankGroupConfig& config) {
  const StepLimits& limits = config.limits;
  const auto number = [](const char* name, int64_t value) {
    return RankSetting{name, std::to_string(value)};
  };
  return {
      {"kv_cache", config.kv_cache ? "true" : "false"},
      {"kv_cache_dtype", kv_dtype_name(config.kv_dtype)},
      number("num_kv_blocks", config.n_kv_blocks),
      number("num_host_kv_blocks", limits.n_host_kv_blocks),
      number("block_size", limits.block_size),
      number("max_model_len", limits.max_model_len),
      number("max_num_seqs", limits.max_seqs),
      number("max_num_batched_tokens", limits.max_tokens),
      number("tensor_parallel_size", config.n_ranks),
      number("threads_per_rank", config.threads_per_rank),
      {"device", config.devices->kind()},
      {"isa", std::string(to_string(config.isa))},
  };
}

void check_equal_settings(const RankSettings& settings, const std::string& where,
                          const RankSettings& rank_0) {
  CHECK_EQ(settings.size(), rank_0.size());
  for (size_t i = 0; i < settings.size(); ++i) {
    if (settings[i] == rank_0[i] || fault(Fault::kSettingsNotCompared)) continue;
    throw LoadError(str("config_mismatch: ", settings[i].name, " is ", settings[i].value, " ",
                        where, " and ", rank_0[i].value, " on rank 0"));
  }
}

void check_equal_settings(std::span<const RankSettings> ranks) {
  for (size_t rank = 1; rank < ranks.size(); ++rank) {
    check_equal_settings(ranks[rank], str("on rank ", rank), ranks[0]);
  }
}

}  // namespace lockstep
