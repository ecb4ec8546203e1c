#include "node/model/rank/rank.h"

#include <algorithm>
#include <exception>

#include "common/log.h"

namespace lockstep {

namespace {

BlockStoreShape kv_shape(const ModelConfig& model, const RankShard& shard,
                         const RankGroupConfig& config) {
  return {.dtype = config.kv_dtype,
          .n_layers = model.n_layers,
          .n_blocks = config.n_kv_blocks,
          .block_size = config.limits.block_size,
          .n_kv_heads = shard.n_kv_heads,
          .head_dim = model.shape.head_dim,
          .tag = config.kv_cache ? MemoryTag::kKv : MemoryTag::kActivations};
}

CpuStreamOptions cpu_options(const RankGroupConfig& config, std::span<ProgressCounter> progress) {
  return {.isa = config.isa,
          .n_threads = config.threads_per_rank,
          .n_threads_in_process = config.n_ranks * config.threads_per_rank,
          .limits = {},
          .progress = progress};
}

StreamLimits stream_limits(const ModelConfig& model, const RankShard& shard,
                           const RankGroupConfig& config) {
  return {.max_tokens = config.limits.max_tokens,
          .max_dim = std::max(model.shape.hidden_dim, shard.n_ffn),
          .head_dim = model.shape.head_dim,
          .max_samples = config.limits.max_samples,
          .vocab_size = model.shape.vocab_size};
}

}  // namespace

Rank::Rank(const ModelFile& file, const ShardPlan& plan, int rank, const RankGroupConfig& config,
           const RopeTable& rope, std::span<ProgressCounter> progress, MemoryLedger& ledger)
    : rank_(rank),
      config_(config),
      progress_(progress.front()),
      device_(config.devices->open(rank, cpu_options(config, progress))),
      stream_(with_fault_points(
          device_->make_stream(
              stream_limits(file.config(), plan.ranks[static_cast<size_t>(rank)], config), ledger),
          {.limits = config.limits,
           .n_layers = file.config().n_layers,
           .is_last_rank = rank == config.n_ranks - 1,
           .timeout = config.watch_tick * config.collective_ticks})),
      rope_(rope, *device_, ledger),
      loaded_(load_weights(file, plan, rank, *device_, *stream_, ledger)),
      kv_(kv_shape(file.config(), plan.ranks[static_cast<size_t>(rank)], config), *device_, ledger),
      workspace_(file.config(), plan, rank, loaded_.weights, config.limits, *device_, ledger),
      transformer_(file.config(), plan, rank, config.limits, loaded_.weights, workspace_, kv_,
                   rope_.cos_sin(), *stream_) {
  for (MirroredBuffer& slot : plans_) {
    slot = MirroredBuffer(*device_, ledger, MemoryTag::kActivations,
                          static_cast<int64_t>(step_plan_bytes(config.limits)));
  }
  if (config.limits.n_host_kv_blocks > 0) {
    host_kv_.emplace(config.limits.n_host_kv_blocks, kv_, *device_, *stream_, ledger);
  }
}

RankOutcome Rank::run(std::span<const std::byte> plan, std::span<const BlockId> nan_blocks,
                      Communicator& communicator) {
  try {
    const uint64_t digest = step_plan_digest(plan);
    if (digest != StepPlanView(plan).header().digest) {
      communicator.abort();
      return failed(StepStatus::kPlanMismatch, "plan", "the plan does not match its digest");
    }
    const CommResult result = communicator.agree(digest);
    if (result == CommResult::kMismatch) {
      return failed(StepStatus::kPlanMismatch, "plan", "the ranks were handed different plans");
    }
    if (result != CommResult::kOk) return comm_failed(result, "plan");
    return run_agreed(StepPlanView(plan), nan_blocks, communicator);
  } catch (const std::exception& error) {
    communicator.abort();
    return failed(StepStatus::kRankFailed, transformer_.where(), error.what());
  } catch (...) {
    communicator.abort();
    return failed(StepStatus::kRankFailed, transformer_.where(), "unknown exception");
  }
}

// Evicted blocks are stored in host memory before anything overwrites them.
RankOutcome Rank::run_agreed(const StepPlanView& plan, std::span<const BlockId> nan_blocks,
                             Communicator& communicator) {
  store_in_host(plan);
  for (BlockId block : nan_blocks) {
    kv_.fill_with_nan(block, *stream_);
    progress_.bump();
  }
  if (std::vector<HostBlockId> bad = load_from_host(plan); !bad.empty()) {
    communicator.abort();
    RankOutcome outcome =
        failed(StepStatus::kBadHostBlock, "load from host memory",
               str(bad.size(), " blocks, host block ", raw(bad.front()),
                   " the first, do not match the checksums that they were stored with"));
    outcome.bad_host_blocks = std::move(bad);
    return outcome;
  }
  begin_plan(plan, *stream_);
  const CommResult result = transformer_.run(upload(plan), communicator, config_.on_logits);
  return result == CommResult::kOk ? RankOutcome{} : comm_failed(result, transformer_.where());
}

StepInputs Rank::upload(const StepPlanView& plan) {
  const MirroredBuffer& slot = plans_[n_run_++ % plans_.size()];
  const std::span<const std::byte> bytes = plan.bytes();
  std::ranges::copy(bytes, slot.on_host());
  slot.upload(std::ssize(bytes), *stream_);
  return {plan, slot.on_device()};
}

void Rank::store_in_host(const StepPlanView& plan) {
  for (size_t i = 0; i < plan.stores_to().size(); ++i) {
    host_kv_->store(BlockId{plan.stores_from()[i]}, HostBlockId{plan.stores_to()[i]},
                    plan.store_tags()[i]);
    progress_.bump();
  }
}

// Returns the host blocks that fail verification.
std::vector<HostBlockId> Rank::load_from_host(const StepPlanView& plan) {
  std::vector<HostBlockId> bad;
  for (size_t i = 0; i < plan.loads_from().size(); ++i) {
    const HostBlockId from{plan.loads_from()[i]};
    if (!host_kv_->load(from, plan.load_tags()[i], BlockId{plan.loads_to()[i]})) {
      bad.push_back(from);
    }
    progress_.bump();
  }
  return bad;
}

RankOutcome Rank::failed(StepStatus status, const std::string& where,
                         const std::string& cause) const {
  return {
      .status = status, .message = str("rank ", rank_, ", ", where, ": ", cause), .is_cause = true};
}

RankOutcome Rank::comm_failed(CommResult result, const std::string& where) const {
  RankOutcome outcome = failed(StepStatus::kCommFailed, where, to_string(result));
  outcome.is_cause = result != CommResult::kAborted;
  return outcome;
}

void Rank::read_samples(const StepPlanHeader& header, StepResult& result) const {
  const auto n = static_cast<size_t>(header.n_samples);
  std::copy_n(workspace_.ids, n, result.ids.begin());
  std::copy_n(workspace_.logprobs, n, result.logprobs.begin());
  std::copy_n(workspace_.finite, n, result.finite.begin());
  for (size_t i = 0; i < n * kMaxTopLogprobs; ++i) {
    result.top[i] = {workspace_.top_ids[i], workspace_.top_logprobs[i]};
  }
}

void Rank::read_kv_finite(const StepPlanView& plan, std::span<uint8_t> kv_finite) const {
  const std::span<const int32_t> owner = plan.seq_of_token();
  std::ranges::fill(kv_finite, uint8_t{1});
  for (size_t row = 0; row < owner.size(); ++row) {
    kv_finite[static_cast<size_t>(owner[row])] &= workspace_.kv_finite[row];
  }
}

}  // namespace lockstep
