#include "node/model/rank/rank.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <tuple>

#include "common/log.h"
#include "node/model/rank/rank_memory.h"

namespace lockstep {

namespace {

// The most layers that are queued on a device and not done, of all steps. A queue takes about a
// thousand launches, and a layer is some twenty; the launch beyond that waits inside the driver.
constexpr int kMaxQueuedLayers = 32;

constexpr int kEagerLooks = 1000;  // some hundred microseconds, before a wait sleeps between looks

BlockStoreShape kv_shape(const ModelConfig& model, const RankShard& shard,
                         const RankGroupConfig& config) {
  return {.dtype = config.kv_dtype,
          .n_layers = model.n_layers(),
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

}  // namespace

Rank::Rank(const ModelFile& file, const ShardPlan& plan, int rank, const RankGroupConfig& config,
           const RopeTable& rope, std::span<ProgressCounter> progress, MemoryLedger& ledger)
    : rank_(rank),
      config_(config),
      progress_(progress.front()),
      device_(config.devices->open(rank, cpu_options(config, progress))),
      stream_(with_fault_points(
          device_->make_stream(
              stream_limits(file.config(), plan.ranks[static_cast<size_t>(rank)], config.limits),
              ledger),
          *device_,
          {.limits = config.limits,
           .n_layers = file.config().n_layers(),
           .is_last_rank = rank == config.n_ranks - 1,
           .timeout = config.watch_tick * config.collective_ticks})),
      rope_(rope, *device_, ledger),
      loaded_(load_weights(file, plan, rank, *device_, *stream_, ledger)),
      kv_(kv_shape(file.config(), plan.ranks[static_cast<size_t>(rank)], config), *device_, ledger),
      passed_(stream_->make_event()),
      workspace_(file.config(), plan, rank, loaded_.weights, config.limits, *device_, ledger),
      transformer_(file.config(), plan, rank, config.limits, loaded_.weights, workspace_, kv_,
                   rope_.cos_sin(), *stream_),
      on_logits_(logits_hook()) {
  for (std::unique_ptr<StepSlot>& slot : slots_) {
    slot = std::make_unique<StepSlot>(config.limits, file.config().n_layers(), *device_, *stream_,
                                      ledger);
  }
  if (config.limits.n_host_kv_blocks > 0) {
    host_kv_.emplace(config.limits.n_host_kv_blocks,
                     max_unfinished() * config.limits.max_transfers(), kv_, *device_, *stream_,
                     ledger);
  }
}

std::string Rank::backend() const {
  if (device_->is_host()) return str(stream_->name(), " x", config_.threads_per_rank, " threads");
  const std::string& name = device_->name();  // "cuda:0 NVIDIA H200"
  return str(config_.devices->kind(), "/", name.substr(name.find(' ') + 1));
}

int Rank::max_unfinished() const { return device_->is_host() ? 1 : kMaxStepsInFlight; }

bool Rank::enqueue(std::span<const std::byte> plan, std::span<const BlockId> nan_blocks,
                   Communicator& communicator) {
  CHECK(n_queued_ - n_finished_ < static_cast<uint64_t>(max_unfinished()));
  Unfinished& step = unfinished_[n_queued_ % unfinished_.size()];
  step.plan = plan;
  step.communicator = &communicator;
  step.n_layers_done = 0;
  step.outcome = launch(plan, nan_blocks, communicator);
  step.n_stored = host_kv_ ? host_kv_->n_stored() : 0;
  ++n_queued_;
  return step.outcome.status == StepStatus::kOk;
}

RankOutcome Rank::launch(std::span<const std::byte> plan, std::span<const BlockId> nan_blocks,
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
    return launch_agreed(StepPlanView(plan), nan_blocks, communicator);
  } catch (const std::exception& error) {
    communicator.abort();
    return failed(StepStatus::kRankFailed, transformer_.where(), error.what());
  } catch (...) {
    communicator.abort();
    return failed(StepStatus::kRankFailed, transformer_.where(), "unknown exception");
  }
}

// Evicted blocks are stored in host memory before anything overwrites them.
RankOutcome Rank::launch_agreed(const StepPlanView& plan, std::span<const BlockId> nan_blocks,
                                Communicator& communicator) {
  store_in_host(plan);
  for (BlockId block : nan_blocks) {
    kv_.fill_with_nan(block, *stream_);
    progress_.bump();
  }
  std::vector<HostBlockId> bad;
  if (const CommResult waited = load_from_host(plan, communicator, bad);
      waited != CommResult::kOk) {
    return comm_failed(waited, "load from host memory");
  }
  // Every rank loads blocks or none does, so all of them meet here. The step ends on all ranks
  // without an abort, which would also end the step before it.
  if (!plan.loads_from().empty()) {
    const CommResult verified = communicator.all_true(bad.empty());
    if (verified == CommResult::kMismatch) return bad_host_blocks(std::move(bad));
    if (verified != CommResult::kOk) return comm_failed(verified, "load from host memory");
  }
  begin_plan(plan, *stream_);
  StepSlot& slot = slot_of(n_queued_);
  const CommResult result = transformer_.run(
      slot.upload(plan), slot, communicator,
      [&] { return wait_until([this] { return has_room_for_layer(); }, communicator); },
      on_logits_);
  if (result != CommResult::kOk) return comm_failed(result, transformer_.where());
  slot.download();
  return {};
}

bool Rank::is_over() {
  Unfinished& step = oldest();
  if (step.outcome.status != StepStatus::kOk) return true;
  const bool is_done = slot_of(n_finished_).is_done();
  if (is_done && device_->is_host()) return true;
  note_progress(step);
  // Also if the step is done: the collectives of a group that was aborted end without their values.
  const CommResult result = step.communicator->check();
  if (result == CommResult::kOk) return is_done;
  step.outcome = comm_failed(result, str("layer ", step.n_layers_done, " on the device"));
  return true;
}

void Rank::note_progress(Unfinished& step) {
  for (const int n = slot_of(n_finished_).layers_done(); step.n_layers_done < n;) {
    ++step.n_layers_done;
    progress_.bump();
  }
}

CommResult Rank::wait_until(const std::function<bool()>& is_true, Communicator& communicator) {
  for (int n_looks = 0; !is_true(); ++n_looks) {
    note_progress(oldest());
    if (const CommResult result = communicator.check(); result != CommResult::kOk) return result;
    if (n_looks < kEagerLooks) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kBetweenLooks);
    }
  }
  return CommResult::kOk;
}

// Asks the device only if the layers that it was not seen to have done are too many.
bool Rank::has_room_for_layer() {
  const auto n_queued = [this] {
    int n = 0;
    for (const auto& slot : slots_) n += slot->layers_queued();
    return n;
  };
  if (n_queued() < kMaxQueuedLayers) return true;
  for (const auto& slot : slots_) slot->layers_done();
  return n_queued() < kMaxQueuedLayers;
}

RankOutcome Rank::finish(StepResult* samples, std::span<uint8_t> kv_finite) {
  Unfinished& step = oldest();
  if (step.outcome.status != StepStatus::kOk) {
    // What is queued of the step must not meet the next one. check() ends this rank's part of the
    // collectives, which would keep the stream waiting.
    std::ignore = step.communicator->check();
    stream_->wait();
  } else {
    const StepPlanView plan(step.plan);
    const ForwardOutputs& outputs = slot_of(n_finished_).host_outputs();
    if (samples != nullptr) read_samples(plan.header(), outputs, *samples);
    read_kv_finite(plan, outputs, kv_finite);
  }
  n_stored_ = step.n_stored;
  progress_.bump();
  slot_of(n_finished_).clear();
  ++n_finished_;
  return std::move(step.outcome);
}

void Rank::finish_stores() {
  if (!host_kv_) return;
  host_kv_->finish_stores(n_stored_);
  progress_.bump();
}

// A hook that waits for the logits and passes them on from host memory.
LogitsHook Rank::logits_hook() {
  if (!config_.on_logits) return {};
  return [this](uint64_t step, const View& logits) {
    stream_->wait();
    std::vector<float> values(static_cast<size_t>(logits.n_rows() * logits.row_size()));
    device_->download(values.data(), logits.data, std::ssize(values) * int64_t{sizeof(float)});
    config_.on_logits(step, values);
  };
}

void Rank::store_in_host(const StepPlanView& plan) {
  for (size_t i = 0; i < plan.stores_to().size(); ++i) {
    host_kv_->store(BlockId{plan.stores_from()[i]}, HostBlockId{plan.stores_to()[i]},
                    plan.store_tags()[i]);
    progress_.bump();
  }
}

CommResult Rank::load_from_host(const StepPlanView& plan, Communicator& communicator,
                                std::vector<HostBlockId>& bad) {
  for (size_t i = 0; i < plan.loads_from().size(); ++i) {
    const HostBlockId from{plan.loads_from()[i]};
    if (host_kv_->is_pending(from)) {
      passed_->record();
      const CommResult waited = wait_until([this] { return passed_->is_done(); }, communicator);
      if (waited != CommResult::kOk) return waited;
      host_kv_->finish_stores(host_kv_->n_stored());
    }
    if (!host_kv_->load(from, plan.load_tags()[i], BlockId{plan.loads_to()[i]})) {
      bad.push_back(from);
    }
    progress_.bump();
  }
  return CommResult::kOk;
}

RankOutcome Rank::failed(StepStatus status, const std::string& where,
                         const std::string& cause) const {
  return {
      .status = status, .message = str("rank ", rank_, ", ", where, ": ", cause), .is_cause = true};
}

// `bad`: of this rank; empty if only other ranks have some.
RankOutcome Rank::bad_host_blocks(std::vector<HostBlockId> bad) const {
  RankOutcome outcome = failed(
      StepStatus::kBadHostBlock, "load from host memory",
      bad.empty() ? "another rank has bad blocks"
                  : str(bad.size(), " blocks, host block ", raw(bad.front()),
                        " the first, do not match the checksums that they were stored with"));
  outcome.is_cause = !bad.empty();
  outcome.bad_host_blocks = std::move(bad);
  return outcome;
}

RankOutcome Rank::comm_failed(CommResult result, const std::string& where) const {
  RankOutcome outcome = failed(StepStatus::kCommFailed, where, to_string(result));
  outcome.is_cause = result != CommResult::kAborted;
  return outcome;
}

void Rank::read_samples(const StepPlanHeader& header, const ForwardOutputs& outputs,
                        StepResult& result) const {
  const auto n = static_cast<size_t>(header.n_samples);
  std::copy_n(outputs.ids, n, result.ids.begin());
  std::copy_n(outputs.logprobs, n, result.logprobs.begin());
  std::copy_n(outputs.finite, n, result.finite.begin());
  for (size_t i = 0; i < n * kMaxTopLogprobs; ++i) {
    result.top[i] = {outputs.top_ids[i], outputs.top_logprobs[i]};
  }
}

void Rank::read_kv_finite(const StepPlanView& plan, const ForwardOutputs& outputs,
                          std::span<uint8_t> kv_finite) const {
  const std::span<const int32_t> owner = plan.seq_of_token();
  std::ranges::fill(kv_finite, uint8_t{1});
  for (size_t row = 0; row < owner.size(); ++row) {
    kv_finite[static_cast<size_t>(owner[row])] &= outputs.kv_finite[row];
  }
}

}  // namespace lockstep
