// device_bytes_beside_kv: what the constructors of a rank allocate, counted before they run.
#include <algorithm>

#include "common/load_error.h"
#include "node/model/forward/transformer.h"
#include "node/model/forward/workspace.h"
#include "node/model/rank/rank_group.h"
#include "node/model/weights/rope_table.h"

namespace lockstep {
namespace {

int64_t bytes_of_rank(const ModelFile& file, const ShardPlan& plan, int rank,
                      const StepLimits& limits) {
  int64_t n_bytes = 0;
  const RankWeights layout = lay_out_weights(file, plan, rank, n_bytes);
  n_bytes += Workspace::bytes(file.config(), plan, rank, layout, limits);
  return n_bytes + kMaxStepsInFlight * StepSlot::bytes(limits) +
         RopeTable::bytes(file.config(), limits.max_model_len);
}

}  // namespace

int64_t device_bytes_beside_kv(const ModelFile& file, const RankGroupConfig& config) {
  const ShardPlan plan = value_or_throw(make_shard_plan(file.config().shape, config.n_ranks));
  int64_t most = 0;
  for (int rank = 0; rank < config.n_ranks; ++rank) {
    most = std::max(most, bytes_of_rank(file, plan, rank, config.limits));
  }
  return most;
}

}  // namespace lockstep
