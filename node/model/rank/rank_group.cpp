#include "node/model/rank/rank_group.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cfenv>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/fault_points.h"
#include "common/load_error.h"
#include "common/log.h"
#include "common/threads/progress.h"
#include "common/threads/threads.h"
#include "kernels/kv_layout.h"
#include "node/model/rank/communicator_group.h"
#include "node/model/rank/rank.h"
#include "node/model/rank/rank_memory.h"
#include "node/model/weights/rope_table.h"

namespace lockstep {

namespace {

constexpr int kIdleSpins = 1000;  // tens of microseconds, in which the engine submits the next step

ShardPlan shard_or_throw(const ModelConfig& model, int n_ranks) {
  Result<ShardPlan> plan = make_shard_plan(model.shape, n_ranks);
  if (!plan) throw LoadError(plan.error().message);
  return std::move(plan).value();
}

// One plan that the ranks run. The engine thread writes it before it is submitted. While it runs,
// each rank writes its own outcome, and rank 0 the result. The engine thread reads it afterwards.
struct InFlight {
  std::vector<std::byte> plan;
  size_t n_bytes = 0;
  std::vector<BlockId> nan_blocks;  // filled with NaN when the plan runs
  StepResult result;
  std::vector<RankOutcome> outcomes;            // [n_ranks]
  std::vector<std::vector<uint8_t>> kv_finite;  // [n_ranks, max_seqs], one row a rank
  // [n_ranks]; 1 = the rank did not queue the plan, since a step before it had failed
  std::vector<uint8_t> is_skipped;
  int n_done = 0;  // guarded by the group's mutex
};

int severity(StepStatus status) {
  switch (status) {
    case StepStatus::kOk:
      return 0;
    case StepStatus::kCommFailed:
      return 1;
    case StepStatus::kBadHostBlock:
      return 2;
    case StepStatus::kPlanMismatch:
      return 3;
    case StepStatus::kRankFailed:
      return 4;
  }
  return 0;
}

// Each rank has some heads of a sequence's keys and values, so a sequence is finite if it is finite
// on every rank.
void join_kv_finite(const std::vector<std::vector<uint8_t>>& ranks, std::vector<uint8_t>& all) {
  std::ranges::fill(all, uint8_t{1});
  for (const std::vector<uint8_t>& of_rank : ranks) {
    for (size_t seq = 0; seq < all.size(); ++seq) all[seq] &= of_rank[seq];
  }
}

// Returns the failure that caused the others: a rank that throws or times out aborts the
// collectives of the other ranks, which then fail too.
const RankOutcome& worst(const std::vector<RankOutcome>& outcomes) {
  return *std::max_element(outcomes.begin(), outcomes.end(),
                           [](const RankOutcome& a, const RankOutcome& b) {
                             return std::pair(severity(a.status), a.is_cause) <
                                    std::pair(severity(b.status), b.is_cause);
                           });
}

// Whether the step failed on a rank in such a way that the rank aborted the group.
bool aborts_group(const InFlight& step) {
  for (size_t rank = 0; rank < step.outcomes.size(); ++rank) {
    const StepStatus status = step.outcomes[rank].status;
    if (status == StepStatus::kOk || status == StepStatus::kBadHostBlock) continue;
    if (step.is_skipped[rank] == 0) return true;
  }
  return false;
}

std::vector<RankGroupConfig> per_rank_configs(const RankGroupConfig& config) {
  std::vector<RankGroupConfig> configs(static_cast<size_t>(config.n_ranks), config);
  for (int rank = 0; config.on_rank_config && rank < config.n_ranks; ++rank) {
    config.on_rank_config(rank, configs[static_cast<size_t>(rank)]);
  }
  for (size_t rank = 0; rank < configs.size(); ++rank) {
    if (fault(Fault::kRankConfiguredOtherwise, rank)) configs[rank].kv_cache = !config.kv_cache;
  }
  return configs;
}

// The settings of all ranks. Throws LoadError if they differ.
std::vector<RankSettings> settings_of(const std::vector<RankGroupConfig>& ranks) {
  std::vector<RankSettings> settings;
  settings.reserve(ranks.size());
  for (const RankGroupConfig& rank : ranks) settings.push_back(rank_settings(rank));
  check_equal_settings(settings);
  return settings;
}

}  // namespace

struct RankGroup::Impl {
  Impl(const ModelFile& file, const RankGroupConfig& config, MemoryLedger& ledger);
  ~Impl();

  void start_ranks(const ModelFile& file, MemoryLedger& ledger);
  void stop_ranks();
  void run_rank(int rank, const ModelFile& file, MemoryLedger& ledger);
  std::unique_ptr<Rank> build_rank(int rank, const ModelFile& file, MemoryLedger& ledger);
  void run_plans(Rank& rank, int idx);
  bool has_plan(uint64_t n) const { return n_submitted.load(std::memory_order_acquire) > n; }
  bool wait_for_plan(uint64_t n);
  void enqueue(Rank& rank, int idx, InFlight& step);
  void finish(Rank& rank, int idx, InFlight& step);
  InFlight& slot(uint64_t n) { return ring[n % kMaxStepsInFlight]; }

  // constant after construction
  const RankGroupConfig config;
  const std::vector<RankGroupConfig> rank_configs;  // [n_ranks]
  const std::vector<RankSettings> settings;         // [n_ranks]
  const ModelConfig model;
  const ShardPlan plan;
  const RopeTable rope;
  std::string backend;
  std::string fingerprint;

  // [n_ranks * threads_per_rank], one a thread
  std::vector<ProgressCounter> progress;

  const SteadyClock clock;
  CommunicatorGroup communicators;

  std::array<InFlight, kMaxStepsInFlight> ring;
  uint64_t n_answered = 0;               // engine thread only
  bool is_aborted = false;               // the communicators are; engine thread only
  std::vector<BlockId> nan_blocks;       // for the next plan; engine thread only
  std::atomic<uint64_t> n_submitted{0};  // written by the engine thread
  std::atomic<bool> stopping{false};
  std::atomic<bool> broken{false};  // a step failed; steps submitted after it must not run

  std::mutex mutex;
  std::condition_variable work, done;
  // guarded by mutex
  int n_ready = 0;  // ranks that have loaded or failed to load
  std::exception_ptr load_failure;
  std::vector<UnitDigest> digests;

  std::vector<std::thread> threads;
};

RankGroup::Impl::Impl(const ModelFile& file, const RankGroupConfig& group_config,
                      MemoryLedger& ledger)
    : config(group_config),
      rank_configs(per_rank_configs(config)),
      settings(settings_of(rank_configs)),
      model(file.config()),
      plan(shard_or_throw(model, config.n_ranks)),
      rope(model, config.limits.max_model_len, ledger),
      progress(static_cast<size_t>(config.n_ranks) * static_cast<size_t>(config.threads_per_rank)),
      communicators(config, clock, [this] { return sum_of(progress); }) {
  for (InFlight& step : ring) {
    step.plan.resize(step_plan_bytes(config.limits));
    step.outcomes.resize(plan.ranks.size());
    step.is_skipped.resize(plan.ranks.size());
    step.result.resize(config.limits.max_samples, config.limits.max_seqs);
    step.kv_finite.assign(plan.ranks.size(), step.result.kv_finite);
  }
  try {
    start_ranks(file, ledger);
  } catch (...) {
    stop_ranks();
    throw;
  }
}

RankGroup::Impl::~Impl() { stop_ranks(); }

void RankGroup::Impl::stop_ranks() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  work.notify_all();
  for (std::thread& thread : threads) thread.join();
  threads.clear();
}

void RankGroup::Impl::start_ranks(const ModelFile& file, MemoryLedger& ledger) {
  for (int rank = 0; rank < config.n_ranks; ++rank) {
    MemoryLedger& of_rank = ledger.of_rank(rank);
    threads.push_back(start_thread(
        str("rank ", rank), [this, rank, &file, &of_rank] { run_rank(rank, file, of_rank); }));
  }
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return n_ready == config.n_ranks; });
  file.check_unchanged();  // first, because a changed file explains a load failure
  if (load_failure != nullptr) std::rethrow_exception(load_failure);
  fingerprint =
      make_fingerprint(combine_units(std::move(digests)), model, file.tokenizer(), config.kv_dtype);
}

void RankGroup::Impl::run_rank(int idx, const ModelFile& file, MemoryLedger& ledger) {
  std::fesetenv(FE_DFL_ENV);  // denormals on, round to nearest; the stream's team inherits it
  const std::unique_ptr<Rank> rank = build_rank(idx, file, ledger);
  if (rank != nullptr) run_plans(*rank, idx);
}

// Queues each plan as soon as the rank may have one more unfinished step, and finishes the steps in
// order.
void RankGroup::Impl::run_plans(Rank& rank, int idx) {
  const auto depth = static_cast<uint64_t>(rank.max_unfinished());
  uint64_t n_queued = 0, n_finished = 0;
  for (int n_looks = 0;; ++n_looks) {
    if (n_queued == n_finished && !wait_for_plan(n_queued)) return;
    if (n_queued - n_finished < depth && has_plan(n_queued)) {
      enqueue(rank, idx, slot(n_queued++));
    } else if (slot(n_finished).is_skipped[static_cast<size_t>(idx)] != 0 || rank.is_over()) {
      finish(rank, idx, slot(n_finished++));
    } else if (n_looks > kIdleSpins) {
      std::this_thread::sleep_for(kBetweenLooks);
      continue;
    } else {
      std::this_thread::yield();
      continue;
    }
    n_looks = 0;
  }
}

std::unique_ptr<Rank> RankGroup::Impl::build_rank(int idx, const ModelFile& file,
                                                  MemoryLedger& ledger) {
  std::unique_ptr<Rank> rank;
  std::exception_ptr failure;
  const auto i = static_cast<size_t>(idx);
  const auto n_threads = static_cast<size_t>(config.threads_per_rank);
  try {
    rank = std::make_unique<Rank>(file, plan, idx, rank_configs[i], rope,
                                  std::span(progress).subspan(i * n_threads, n_threads), ledger);
  } catch (const std::bad_alloc&) {
    failure = std::make_exception_ptr(out_of_memory(file, rank_configs[i], idx));
  } catch (const OutOfMemory&) {
    failure = std::make_exception_ptr(out_of_memory(file, rank_configs[i], idx));
  } catch (...) {
    failure = std::current_exception();
  }
  std::lock_guard lock(mutex);
  if (failure != nullptr && load_failure == nullptr) load_failure = failure;
  if (rank != nullptr) {
    const std::vector<UnitDigest> mine = rank->take_digests();
    digests.insert(digests.end(), mine.begin(), mine.end());
    if (idx == 0) backend = rank->backend();
  }
  if (++n_ready == config.n_ranks) done.notify_all();
  return rank;
}

// Returns false when the group is being destroyed and no plan is left to run. Every rank runs every
// submitted plan, because the other ranks wait for it.
bool RankGroup::Impl::wait_for_plan(uint64_t n) {
  for (int i = 0; i < kIdleSpins; ++i) {
    if (has_plan(n)) return true;
    std::this_thread::yield();
  }
  std::unique_lock lock(mutex);
  work.wait(lock, [&] { return n_submitted > n || stopping; });
  return n_submitted > n;
}

void RankGroup::Impl::enqueue(Rank& rank, int idx, InFlight& step) {
  const auto i = static_cast<size_t>(idx);
  step.is_skipped[i] = broken ? 1 : 0;
  if (step.is_skipped[i] != 0) return;
  if (!rank.enqueue({step.plan.data(), step.n_bytes}, step.nan_blocks, communicators.of_rank(i))) {
    broken = true;
  }
}

void RankGroup::Impl::finish(Rank& rank, int idx, InFlight& step) {
  const auto i = static_cast<size_t>(idx);
  RankOutcome outcome =
      step.is_skipped[i] != 0
          ? RankOutcome{.status = StepStatus::kCommFailed, .message = "a step before it failed"}
          : rank.finish(idx == 0 ? &step.result : nullptr, step.kv_finite[i]);
  if (outcome.status != StepStatus::kOk) broken = true;
  {
    std::lock_guard lock(mutex);
    step.outcomes[i] = std::move(outcome);
    if (++step.n_done == config.n_ranks) done.notify_all();
  }
  rank.finish_stores();
}

RankGroup::RankGroup(const ModelFile& file, const RankGroupConfig& config, MemoryLedger& ledger)
    : impl_(std::make_unique<Impl>(file, config, ledger)) {}
RankGroup::~RankGroup() = default;

void RankGroup::submit(std::span<const std::byte> plan) {
  Impl& group = *impl_;
  const uint64_t n = group.n_submitted.load(std::memory_order_relaxed);
  CHECK(n - group.n_answered < kMaxStepsInFlight);
  InFlight& step = group.slot(n);
  CHECK(plan.size() <= step.plan.size());
  std::memcpy(step.plan.data(), plan.data(), plan.size());
  step.n_bytes = plan.size();
  step.nan_blocks.swap(group.nan_blocks);
  group.nan_blocks.clear();
  const StepPlanHeader& header = StepPlanView(plan).header();
  step.result.step = header.step;
  step.result.n_samples = header.n_samples;
  {
    std::lock_guard lock(group.mutex);
    step.n_done = 0;
    group.n_submitted.store(n + 1, std::memory_order_release);
  }
  group.work.notify_all();
}

int RankGroup::max_steps_in_flight() const { return kMaxStepsInFlight; }

void RankGroup::fill_with_nan(std::span<const BlockId> blocks) {
  impl_->nan_blocks.insert(impl_->nan_blocks.end(), blocks.begin(), blocks.end());
}

void RankGroup::wait_result(StepResult& result) {
  Impl& group = *impl_;
  CHECK(group.n_answered < group.n_submitted);
  InFlight& step = group.slot(group.n_answered);
  {
    std::unique_lock lock(group.mutex);
    group.done.wait(lock, [&] { return step.n_done == group.config.n_ranks; });
  }
  ++group.n_answered;
  const RankOutcome& outcome = worst(step.outcomes);
  step.result.status = outcome.status;
  step.result.message = outcome.message;
  join_kv_finite(step.kv_finite, step.result.kv_finite);
  step.result.bad_host_blocks.clear();
  for (const RankOutcome& of_rank : step.outcomes) {
    step.result.bad_host_blocks.insert(step.result.bad_host_blocks.end(),
                                       of_rank.bad_host_blocks.begin(),
                                       of_rank.bad_host_blocks.end());
  }
  result = step.result;  // no allocation once result's arrays have their size
  group.is_aborted = group.is_aborted || aborts_group(step);
  if (group.broken && group.n_answered == group.n_submitted) {
    if (std::exchange(group.is_aborted, false)) group.communicators.replace();
    group.broken = false;
  }
}

uint64_t RankGroup::progress() const {
  return sum_of(impl_->progress) + impl_->communicators.progress();
}

const ModelConfig& RankGroup::model() const { return impl_->model; }

std::string RankGroup::backend_name() const {
  return str(impl_->backend, " x", impl_->config.n_ranks, " ranks");
}

const std::vector<RankSettings>& RankGroup::settings() const { return impl_->settings; }

std::string RankGroup::numerics_fingerprint() const { return impl_->fingerprint; }

int64_t kv_block_bytes_per_rank(const ModelConfig& model, const RankGroupConfig& config) {
  const ShardPlan plan = shard_or_throw(model, config.n_ranks);
  int n_kv_heads = 0;
  for (const RankShard& rank : plan.ranks) n_kv_heads = std::max(n_kv_heads, rank.n_kv_heads);
  return kv_bytes_per_block({.dtype = config.kv_dtype,
                             .n_layers = model.n_layers(),
                             .n_blocks = 1,
                             .block_size = config.limits.block_size,
                             .n_kv_heads = n_kv_heads,
                             .head_dim = model.shape.head_dim});
}

}  // namespace lockstep
