#include "node/engine/core/engine_core.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/fault_points.h"
#include "common/log.h"
#include "node/engine/checks/invariants.h"
#include "node/engine/plan/explain_match.h"

namespace lockstep {
namespace {

constexpr uint64_t kStepsPerCostUpdate = 64;  // steps from one update_block_cost() to the next

// How many tokens of an admitted prompt were found in the cache. The sequence's own count is used;
// the two faults are mutants (common/fault_points.h), which subtract, as other engines did.
int32_t count_cached(const ScheduledChunk& chunk) {
  const Sequence& sequence = *chunk.sequence;
  if (fault(Fault::kCachedFromProcessed)) return sequence.n_prompt() - chunk.n_tokens;
  if (fault(Fault::kCachedFromPast)) return sequence.n_lost() - chunk.n_tokens;
  return sequence.n_cached_of_prompt();
}

}  // namespace

EngineCore::EngineCore(const EngineConfig& config, Executor& executor, const Tokenizer& tokenizer,
                       const Clock& clock, EngineSink& sink)
    : executor_(executor),
      tokenizer_(tokenizer),
      clock_(clock),
      sink_(sink),
      pool_(config.n_kv_blocks, config.tenants),
      host_tier_(config.limits.n_host_kv_blocks, config.n_kv_blocks, config.limits.block_size,
                 config.limits.max_transfers()),
      cache_(pool_, config.limits.block_size, config.kv_cache && config.prefix_cache,
             config.eviction_policy),
      cache_history_(config.n_kv_blocks, clock),
      block_events_(config.block_events),
      block_size_(config.limits.block_size),
      kv_cache_(config.kv_cache),
      sanitize_kv_(config.sanitize_kv),
      scheduler_(config, pool_, cache_),
      writer_(config.limits, tokenizer),
      recovery_(
          clock, [this] { undo_steps(); },
          [this](LiveRequest& request, std::string message) {
            requests_.fail(request, ErrorCode::kDecodeFailed, std::move(message));
          }),
      events_(config.limits.max_seqs),
      requests_(scheduler_, recovery_, events_, clock) {
  CHECK(config.limits.max_samples >= scheduler_.max_running());
  cache_.set_cost(config.prefill_cost);
  if (config.limits.n_host_kv_blocks > 0) cache_.set_host_tier(&host_tier_);
  cache_.add_sink(cache_history_);
  if (block_events_ != nullptr) cache_.add_sink(*block_events_);
  // Without a KV cache one step at a time: the next pass needs the token that this one samples.
  const int depth =
      kv_cache_ ? std::min(config.max_steps_in_flight, executor.max_steps_in_flight()) : 1;
  schedules_.resize(static_cast<size_t>(std::max(depth, 1)));
  result_.resize(config.limits.max_samples, config.limits.max_seqs);
}

void EngineCore::accept(std::unique_ptr<LiveRequest> request) {
  const SamplingParams& sampling = request->request.sampling;
  if (cache_.is_enabled() && sampling.cache_prompt) {
    request->takes_part_in_cache = true;
    request->prefix =
        prefix_hashes({.salt = sampling.cache_salt}, request->request.prompt, block_size_);
  }
  if (const auto& retention = request->request.retention) {
    request->retained_until = clock_.now() + retention->duration;
  }
  for (Choice& choice : request->choices) {
    if (!choice.sequence.is_open()) continue;  // it ended at another node
    start_output(choice, tokenizer_, scheduler_.config().n_keep, block_size_);
    scheduler_.enqueue(choice.sequence);
  }
  requests_.add(std::move(request));
}

void EngineCore::cancel(RequestId id) {
  if (requests_.cancel(id)) deliver_events();
}

void EngineCore::cancel_all() {
  while (const LiveRequest* request = requests_.any()) cancel(request->request.id);
}

void EngineCore::start() {
  cache_.advance(clock_.now());
  has_started_ = false;
  requests_.end_overdue();
  is_paused_ = pause_left() > Clock::TimePoint::duration::zero();
  if (n_in_flight_ == max_in_flight() || is_paused_) return;
  Schedule& schedule = schedule_of(next_step_);
  plan(schedule);
  if (schedule.empty()) return;
  if (recovery_.is_recovering()) recovery_.trial_started(schedule.sequences());
  submit_step(schedule);
  has_started_ = true;
}

// While failed steps are recovered from, each step is a trial, and one step runs at a time.
void EngineCore::plan(Schedule& schedule) {
  while (recovery_.is_recovering() && n_in_flight_ == 0) {
    scheduler_.plan_only(recovery_.trial(), schedule);
    if (!schedule.empty()) return;
    recovery_.skip_trial();
  }
  if (recovery_.is_recovering()) {
    schedule.chunks.clear();
  } else {
    scheduler_.plan(schedule);
    // A sequence that holds shared blocks beside own blocks with the same tokens may lack a block
    // although no later sequence exists to preempt. It is requeued then, and its next admission
    // shares those blocks instead of holding own ones.
    while (schedule.empty() && !schedule.preempted.empty()) {
      scheduler_.commit(schedule);
      scheduler_.plan(schedule);
    }
  }
}

void EngineCore::finish() {
  if (n_in_flight_ == max_in_flight() || (n_in_flight_ > 0 && !has_started_)) {
    finish_step();
  } else if (n_in_flight_ == 0 && !scheduler_.waiting().empty() && !is_paused_ &&
             !schedule_of(next_step_).is_refused) {
    fail_first_waiting();
  }
  load_ = scheduler_.running_load();
  if (block_events_ != nullptr) block_events_->end_turn();
  if (const int rule = check_invariants(scheduler_, sanitize_kv_)) note_violation(rule);
  deliver_events();
}

// Fails the request of the first waiting sequence. Nothing runs, and yet this sequence gets no
// blocks: the bookkeeping of blocks is wrong. Admission said that the request fits, so it would
// wait for ever.
void EngineCore::fail_first_waiting() {
  requests_.fail(scheduler_.waiting().first()->owner(), ErrorCode::kInternal,
                 "the request fits the KV pool, but the empty pool has no room for it");
}

// Counts every violation but logs only the first of each rule, because a wrong count stays wrong.
void EngineCore::note_violation(int rule) {
  if (counters_.n_violations[static_cast<size_t>(rule - 1)]++ > 0) return;
  log(LogLevel::kError, str("engine invariant ", rule, " does not hold after step ", next_step_ - 1,
                            " (docs/engine.md)"));
}

void EngineCore::submit_step(Schedule& schedule) {
  schedule.step = next_step_++;
  scheduler_.commit(schedule);
  if (sanitize_kv_) executor_.fill_with_nan(sanitizer_.find_stale(pool_));
  for (const ScheduledChunk& chunk : schedule.chunks) {
    if (chunk.admits) count_admission(chunk);
    if (chunk.loads) note_loads(*chunk.sequence);
  }
  if (n_in_flight_ == 0) busy_since_ = clock_.now();
  executor_.submit(writer_.write(schedule));
  ++n_in_flight_;
  load_ = scheduler_.running_load();
}

// The device cache had evicted these blocks, but they are loaded instead of recomputed, so their
// evictions do not count as regret.
void EngineCore::note_loads(const Sequence& sequence) {
  counters_.n_host_loaded += sequence.host().size();
  for (const HostPin& pin : sequence.host()) {
    cache_history_.forget_eviction(host_tier_.hash(pin.id()));
  }
}

void EngineCore::note_admission(Sequence& sequence) {
  for (const BlockRef& found : sequence.chain().refs()) {
    cache_history_.used(found.id(), cache_.index().hash(found.id()));
  }
  sequence.owner().cache = explain_match(sequence, scheduler_, cache_history_, clock_.now());
}

void EngineCore::count_admission(const ScheduledChunk& chunk) {
  Sequence& sequence = *chunk.sequence;
  if (sequence.owner().takes_part_in_cache) {
    counters_.n_lookup_tokens += static_cast<uint64_t>(sequence.n_known());
    counters_.n_hit_tokens += static_cast<uint64_t>(sequence.n_cached());
  }
  if (!chunk.is_new) {
    if (kv_cache_) count_recomputed(sequence);
    return;
  }
  if (sequence.is_resumed()) count_resumed(sequence);
  if (sequence.choice() == sequence.owner().lead_choice) {
    const auto n_cached = static_cast<uint64_t>(count_cached(chunk));
    counters_.n_prompt_tokens += static_cast<uint64_t>(sequence.n_prompt());
    counters_.n_cached_tokens += n_cached;
    sequence.owner().usage.cached_tokens = n_cached;
    note_admission(sequence);
  }
}

// Counts the emitted tokens that are computed here because the prefix cache lacks them.
void EngineCore::count_resumed(const Sequence& sequence) {
  const int32_t n_there = std::max(sequence.n_cached(), sequence.n_prompt_known());
  counters_.n_resumed_tokens += static_cast<uint64_t>(std::max(sequence.n_known() - n_there, 0));
}

void EngineCore::count_recomputed(const Sequence& sequence) {
  const auto counter = [&]() -> uint64_t& {
    switch (sequence.requeue_reason()) {
      case RequeueReason::kCut:
        return counters_.n_tokens_after_shift;
      case RequeueReason::kLoadFailed:
        return counters_.n_tokens_not_loaded;
      default:
        return counters_.n_recomputed_tokens;
    }
  };
  counter() += static_cast<uint64_t>(std::max(sequence.n_lost() - sequence.n_cached(), 0));
}

void EngineCore::finish_step() {
  const Schedule& schedule = wait_step();
  check_result(schedule);
  if (result_.status != StepStatus::kOk) {
    recovery_.step_failed(result_, schedule.sequences());
    return;
  }
  counters_.n_query_rows += static_cast<uint64_t>(schedule.n_tokens());
  recovery_.step_succeeded();
  size_t sample_idx = 0;
  for (size_t seq = 0; seq < schedule.chunks.size(); ++seq) {
    const ScheduledChunk& chunk = schedule.chunks[seq];
    finish_chunk(chunk, seq, sample_idx);
    if (chunk.samples) ++sample_idx;
  }
}

// The step of result_ failed. See FailureRecovery::UndoSteps.
void EngineCore::undo_steps() {
  std::vector<HostBlockId> bad = result_.bad_host_blocks;
  undo(schedule_of(result_.step));
  while (n_in_flight_ > 0) {
    undo(wait_step());
    if (result_.bad_host_blocks.empty()) continue;
    log(LogLevel::kWarning, str("step ", result_.step, " failed too: ", result_.message));
    bad.insert(bad.end(), result_.bad_host_blocks.begin(), result_.bad_host_blocks.end());
  }
  scheduler_.quarantine(bad);
  scheduler_.requeue_failed_loads();
}

void EngineCore::undo(const Schedule& schedule) {
  for (const ScheduledChunk& chunk : schedule.chunks) {
    if (scheduler_.undo(chunk)) --chunk.sequence->owner().n_choices_held;
  }
  scheduler_.undo_stores(schedule);
}

// Treats a result of another step, or with other rows, as a failure, so that its tokens do not
// reach a stream.
void EngineCore::check_result(const Schedule& schedule) {
  if (result_.status == StepStatus::kOk &&
      (result_.step != schedule.step || result_.n_samples != schedule.n_samples())) {
    result_.message = "the result is of step " + std::to_string(result_.step) + " with " +
                      std::to_string(result_.n_samples) + " samples, not with " +
                      std::to_string(schedule.n_samples());
    result_.status = StepStatus::kPlanMismatch;
  }
  result_.step = schedule.step;
}

// Waits for the oldest step in flight and returns its schedule.
const Schedule& EngineCore::wait_step() {
  awaited_step_.store(next_step_ - static_cast<uint64_t>(n_in_flight_), std::memory_order_relaxed);
  executor_.wait_result(result_);
  awaited_step_.store(0, std::memory_order_relaxed);
  const Clock::TimePoint now = clock_.now();
  const auto took = now - std::exchange(busy_since_, now);
  counters_.busy += took;
  const Schedule& schedule = schedule_of(next_step_ - static_cast<uint64_t>(n_in_flight_));
  --n_in_flight_;
  ++counters_.n_steps;
  if (result_.status == StepStatus::kOk) {
    const double seconds = std::chrono::duration<double>(took).count();
    scheduler_.observe(schedule.work, seconds);
    // A trial of a recovery runs without other steps in flight, so its time says little.
    if (!recovery_.is_recovering()) step_times_.observe(schedule.work, seconds);
    if (counters_.n_steps % kStepsPerCostUpdate == 0) update_block_cost();
  }
  return schedule;
}

// Sets the costs by which kGdsf values blocks that are cached from now on. Only the ratio of the
// costs matters; the cost per token is fixed at 1, so that blocks cached earlier stay comparable.
void EngineCore::update_block_cost() {
  const auto seconds = scheduler_.step_time().coefficients();
  const double per_row = seconds[StepTime::kPerRow], per_key = seconds[StepTime::kPerKey];
  if (per_row <= 0) return;
  cache_.set_cost({.seconds_per_token = 1, .seconds_per_token_pair = per_key / per_row});
}

// `seq`: index of the chunk in the plan. `sample_idx`: index of its sample, if chunk.samples.
void EngineCore::finish_chunk(const ScheduledChunk& chunk, size_t seq, size_t sample_idx) {
  Sequence& sequence = *chunk.sequence;
  LiveRequest& request = sequence.owner();
  const bool is_finite = !chunk.samples || result_.finite[sample_idx] != 0;
  const bool is_sound = is_finite && result_.kv_finite[seq] != 0;
  if (scheduler_.finish(chunk, is_sound)) --request.n_choices_held;
  if (!sequence.is_running()) return;  // the choice ended while this step ran
  if (!is_finite) {
    recovery_.row_failed(sequence);
  } else if (chunk.samples) {
    take_sample(request.choices[sequence.choice()], sample_idx);
    if (sequence.is_running()) continue_sequence(sequence);
  }
}

// The sequence has one more token and has not ended: cuts a full context, or, without a KV cache,
// requeues the sequence.
void EngineCore::continue_sequence(Sequence& sequence) {
  if (sequence.is_full()) {
    ++counters_.n_context_shifts;
    const int32_t n_before = sequence.n_known();
    scheduler_.cut(sequence);
    if (fault(Fault::kCachedLessDiscarded)) {
      sequence.owner().usage.cached_tokens -= static_cast<uint64_t>(n_before - sequence.n_known());
    }
  } else if (!kv_cache_) {
    scheduler_.restart(sequence);
  }
}

void EngineCore::take_sample(Choice& choice, size_t row) {
  const std::span<const int32_t> emitted = emitted_ids(choice.sequence);
  const auto index = static_cast<size_t>(choice.sequence.n_outputs());
  if (index < emitted.size()) return prove(choice, emitted[index], result_.ids[row]);
  const SampledToken token = {
      .id = result_.ids[row],
      .logprob = result_.logprobs[row],
      .top = std::span(result_.top).subspan(row * kMaxTopLogprobs, kMaxTopLogprobs)};
  ++choice.sequence.owner().usage.completion_tokens;
  ++counters_.n_output_tokens;
  const auto reason = add_output(choice, token, tokenizer_, events_);
  if (reason) requests_.end_choice(choice, *reason);
}

// The client already has this token: it is compared instead of delivered.
void EngineCore::prove(Choice& choice, int32_t emitted, int32_t sampled) {
  ++counters_.n_resumed_tokens;
  if (sampled == emitted) return repeat_output(choice, sampled, tokenizer_);
  recovery_.resume_failed(choice.sequence, emitted, sampled);
}

void EngineCore::deliver_events() {
  if (!events_.empty()) {
    sink_.on_events(events_.batch());
    events_.clear();
  }
  requests_.drop_ended();
}

EngineSnapshot EngineCore::snapshot() const {
  EngineSnapshot s = counters_;
  s.n_stopped = requests_.n_ended(FinishReason::kStop);
  s.n_length = requests_.n_ended(FinishReason::kLength);
  s.n_cancelled = requests_.n_ended(FinishReason::kCancelled);
  s.n_failed = requests_.n_ended(FinishReason::kError);
  s.decode_failures = recovery_.failures();
  s.n_running = static_cast<int32_t>(scheduler_.running().size());
  s.n_waiting = static_cast<int32_t>(scheduler_.waiting().n_sequences());
  s.n_prompt_tokens_pending = load_.n_prefill_tokens + scheduler_.waiting().n_tokens_to_forward();
  s.n_context_tokens = load_.n_context_tokens;
  if (step_times_.is_fitted()) s.step_costs = step_times_.costs();
  if (kv_cache_) {
    s.n_blocks_total = pool_.n_blocks_total();
    s.n_blocks_free = pool_.n_blocks_free();
    s.n_blocks_cached = pool_.n_blocks_cached();
    s.n_blocks_active = pool_.n_blocks(BlockState::kActive);
    s.n_blocks_reserved = pool_.n_blocks_reserved();
  }
  for (int state = 0; state < kNHostBlockStates; ++state) {
    s.n_host_blocks[static_cast<size_t>(state)] =
        host_tier_.n_blocks(static_cast<HostBlockState>(state));
  }
  s.n_host_stored = host_tier_.n_stored();
  s.n_host_evicted = host_tier_.n_evicted();
  s.n_host_bad = host_tier_.n_quarantined();
  s.n_preemptions = scheduler_.n_preemptions();
  s.n_blocks_evicted = cache_.n_evicted();
  s.n_not_indexed = cache_.n_not_indexed();
  s.n_host_not_indexed = host_tier_.n_not_indexed();
  s.n_regret_tokens = cache_history_.n_regret_tokens();
  return s;
}

}  // namespace lockstep
