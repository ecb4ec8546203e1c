// RanksOnGpus: a fake model for one to three ranks on emulated GPUs, and what its ranks share. The
// ranks themselves are OneRank, each built and used on a thread of its own.
#pragma once

#include <array>
#include <cstddef>
#include <thread>
#include <vector>

#include "common/load_error.h"
#include "node/model/rank/rank.h"
#include "node/model/weights/rope_table.h"
#include "node/step/step_plan.h"
#include "tests/cuda_node/emulated_gpus.h"
#include "tests/support/emulated_nccl.h"
#include "tests/unit/model/rank_group_driver.h"

namespace lockstep::testing {

// A model whose heads three ranks can share.
inline FakeModelFile three_heads() {
  FakeModelSpec spec;
  spec.shape.n_heads = 6;
  spec.shape.n_kv_heads = 3;
  spec.shape.head_dim = 32;
  return FakeModelFile(spec);
}

class RanksOnGpus {
 public:
  struct Options {
    int32_t n_host_kv_blocks = 0;
    nccl_emulation::Faults faults = {};
  };
  explicit RanksOnGpus(int n_ranks) : RanksOnGpus(n_ranks, Options{}) {}
  RanksOnGpus(int n_ranks, const Options& options)
      : config_(config_with(n_ranks, options.n_host_kv_blocks)) {
    nccl_.set(options.faults);
    group_ = value_or_throw(config_.devices->make_group(n_ranks, {}, n_ranks));
  }
  const EmulatedNccl& nccl() const { return nccl_; }

  // A plan of three tokens of slot 0, the first at `position`, and a sample. `add` adds copies.
  template <class Add>
  std::vector<std::byte> plan(uint64_t step, int32_t position, const Add& add) const {
    StepPlanBuilder builder(config_.limits);
    builder.begin(step);
    const std::array<BlockId, 1> blocks{BlockId{0}};
    builder.add_sequence(0, position, Ids{5, 9, 11}, blocks);
    add(builder);
    SamplingRow row;
    row.n_known = position + 3;
    builder.add_sample(row);
    const auto bytes = builder.finish();
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::byte> plan(uint64_t step, int32_t position) const {
    return plan(step, position, [](StepPlanBuilder&) {});
  }

  class OneRank {
   public:
    OneRank(RanksOnGpus& ranks, int rank)
        : communicator_(*ranks.group_[static_cast<size_t>(rank)]),
          rank_(ranks.file_, ranks.shards_, rank, ranks.config_, ranks.rope_, progress_,
                ranks.ledger_) {
      result_.resize(ranks.config_.limits.max_samples, ranks.config_.limits.max_seqs);
    }
    bool enqueue(const std::vector<std::byte>& plan) {
      return rank_.enqueue(plan, {}, communicator_);
    }
    // Polls until the oldest step is over.
    StepStatus finish() {
      while (!rank_.is_over()) std::this_thread::yield();
      return rank_.finish(&result_, result_.kv_finite).status;
    }

   private:
    Communicator& communicator_;
    std::vector<ProgressCounter> progress_ = std::vector<ProgressCounter>(1);
    Rank rank_;
    StepResult result_;
  };

 private:
  static RankGroupConfig config_with(int n_ranks, int32_t n_host_kv_blocks) {
    RankGroupConfig config = config_of(n_ranks);
    config.limits.n_host_kv_blocks = n_host_kv_blocks;
    config.devices = emulated_gpus(n_ranks);
    return config;
  }

  const FakeModelFile file_ = three_heads();
  const RankGroupConfig config_;  // first, because it sets how the devices are emulated
  const EmulatedNccl nccl_;
  const ShardPlan shards_ = *make_shard_plan(file_.config().shape, config_.n_ranks);
  MemoryLedger ledger_;
  const RopeTable rope_{file_.config(), config_.limits.max_model_len, ledger_};
  DeviceProvider::Group group_;
};

}  // namespace lockstep::testing
