// EngineCore: the engine without its thread. Accepted requests go in, steps run through the
// Executor, events come out through the EngineSink. Everything happens inside its calls, so a test
// can inspect it after each one. Engine thread only.
//
// One turn is start(), then finish():
//
//   start()   plan (const) -> commit -> write -> submit     if fewer than n steps are in flight
//   finish()  wait for the oldest step -> tokens -> events  if n steps are in flight, or start()
//                                                           started none
//
// n is the lesser of EngineConfig::max_steps_in_flight and the executor's; 1 without a KV cache.
// With n = 2 the ranks run step s + 1 while the engine processes the tokens of step s. A sequence
// that turns out to have ended in step s then has a needless row in step s + 1: the row's result is
// discarded, and the blocks that the row writes to are released only when step s + 1 is done.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/clock.h"
#include "node/engine/checks/kv_sanitizer.h"
#include "node/engine/core/engine.h"
#include "node/engine/core/live_requests.h"
#include "node/engine/plan/scheduler.h"
#include "node/engine/plan/step_time_model.h"
#include "node/engine/plan/step_writer.h"
#include "node/engine/recovery/failure_recovery.h"
#include "node/engine/sequence/choice_output.h"
#include "node/engine/sequence/event_buffer.h"
#include "node/engine/sequence/live_request.h"
#include "node/kv/report/cache_history.h"

namespace lockstep {

class EngineCore {
 public:
  EngineCore(const EngineConfig& config, Executor& executor, const Tokenizer& tokenizer,
             const Clock& clock, EngineSink& sink);

  // Puts the request's choices into the waiting queue. The id must not be live.
  void accept(std::unique_ptr<LiveRequest> request);
  // Ends the request with kCancelled and delivers its end to the sink at once. Ignores unknown ids.
  void cancel(RequestId id);
  void cancel_all();
  // Plans and submits a step, if one more may be in flight and anything can run. Never waits.
  void start();
  // Waits for the oldest step if no further step could be started, and delivers the turn's events
  // to the sink.
  void finish();

  // The time until start() submits a step again, after steps that failed without naming a row.
  // Requests are accepted and ended meanwhile.
  Clock::TimePoint::duration pause_left() const { return recovery_.pause_left(); }
  // No sequence waits, runs or holds a block, and no step is in flight.
  bool idle() const { return n_in_flight_ == 0 && scheduler_.idle(); }
  const Scheduler& scheduler() const { return scheduler_; }
  PrefixCache& cache() { return cache_; }
  const PrefixCache& cache() const { return cache_; }
  HostTier& host_tier() { return host_tier_; }
  const CacheHistory& cache_history() const { return cache_history_; }
  int n_in_flight() const { return n_in_flight_; }
  // Any thread: the step whose result finish() is waiting for; 0 = none.
  uint64_t awaited_step() const { return awaited_step_.load(std::memory_order_relaxed); }
  // All fields but those that Engine fills in: n_accepted, n_rejected and progress.
  EngineSnapshot snapshot() const;

 private:
  void submit_step(Schedule& schedule);
  void count_admission(const ScheduledChunk& chunk);
  void count_resumed(const Sequence& sequence);
  void count_recomputed(const Sequence& sequence);
  void plan(Schedule& schedule);
  void note_admission(Sequence& sequence);
  void note_loads(const Sequence& sequence);
  void finish_step();
  const Schedule& wait_step();
  void undo_steps();
  void undo(const Schedule& schedule);
  int max_in_flight() const { return static_cast<int>(schedules_.size()); }
  void check_result(const Schedule& schedule);
  void finish_chunk(const ScheduledChunk& chunk, size_t seq, size_t sample_idx);
  void continue_sequence(Sequence& sequence);
  void take_sample(Choice& choice, size_t row);
  void prove(Choice& choice, int32_t emitted, int32_t sampled);
  void fail_first_waiting();

  void note_violation(int rule);
  void update_block_cost();
  void deliver_events();

  Schedule& schedule_of(uint64_t step) { return schedules_[step % schedules_.size()]; }

  Executor& executor_;
  const Tokenizer& tokenizer_;
  const Clock& clock_;
  EngineSink& sink_;

  // Declared before the requests, whose sequences hold blocks, and so destroyed after them.
  BlockPool pool_;
  HostTier host_tier_;
  PrefixCache cache_;
  CacheHistory cache_history_;
  BlockEventSink* const block_events_;  // or null
  const int32_t block_size_;
  const bool kv_cache_;
  const bool sanitize_kv_;
  KvSanitizer sanitizer_;
  Scheduler scheduler_;
  StepWriter writer_;
  std::vector<Schedule> schedules_;  // [max_in_flight], indexed by step % max_in_flight
  StepResult result_;
  FailureRecovery recovery_;
  EventBuffer events_;
  LiveRequests requests_;

  uint64_t next_step_ = 1;
  int n_in_flight_ = 0;
  std::atomic<uint64_t> awaited_step_{0};
  bool has_started_ = false;  // in this turn
  bool is_paused_ = false;    // in this turn
  Clock::TimePoint busy_since_{};
  StepTimeModel step_times_;
  RunningLoad load_;         // after the last step that was submitted or finished
  EngineSnapshot counters_;  // the counts that no other member keeps; see snapshot()
};

}  // namespace lockstep
