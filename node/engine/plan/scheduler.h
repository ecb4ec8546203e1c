// Scheduler: decides which sequences run in the next step, and with how many tokens (continuous
// batching with chunked prefill). Owns the order of the sequences, their slots and, through the
// pool, their KV blocks. Engine thread only; knows no clock, no text and no ranks.
//
//   scheduler.plan(schedule);      // const: reads everything, writes only `schedule`
//   scheduler.commit(schedule);    // the only call that carries a plan out
//   ... the ranks run the step ...
//   scheduler.finish(chunk, ...);  // for each chunk; undo(chunk) if the step failed
//
// How plan() decides is described in node/engine/plan/step_planner.h and admission_planner.h.
//
// Blocks. An admitted sequence holds a reservation for its tokens and a likely output length. A
// sequence that outgrows its reservation takes a block that is free, or cached and evicted for it.
// If there is none, a sequence is preempted: it loses its blocks, is requeued, and later continues
// from the tokens it has. After max_preemptions preemptions a sequence is admitted only with a
// reservation of all blocks that it can ever need.
//
// At most min(max_seqs, max_tokens) sequences run (one without a KV cache), so every decode has a
// row in each step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "node/engine/engine_config.h"
#include "node/engine/plan/output_estimate.h"
#include "node/engine/plan/schedule.h"
#include "node/engine/queue/waiting_queue.h"
#include "node/engine/sequence/sequence.h"
#include "node/kv/pool/block_pool.h"

namespace lockstep {

// What the running sequences hold, in tokens.
struct RunningLoad {
  int64_t n_prefill_tokens = 0;  // still without keys and values; steps in flight compute some
  int64_t n_context_tokens = 0;  // context of the sequences that decode
};

class Scheduler {
 public:
  // The pool and the cache must outlive the scheduler.
  Scheduler(const EngineConfig& config, BlockPool& pool, PrefixCache& cache);

  // Puts a new sequence into the waiting queue.
  void enqueue(Sequence& sequence);
  // Plans the next step; it is empty if nothing can run now.
  void plan(Schedule& out) const;
  // Plans a step of these sequences alone, as far as they run. It admits no sequence and preempts
  // none but these.
  void plan_only(std::span<Sequence* const> sequences, Schedule& out) const;
  // Carries the plan out: preempts, admits, allocates blocks, defers, and counts the chunks as in
  // flight. No state may have changed since plan(). Fills in schedule.stores.
  void commit(Schedule& schedule);
  // The step with this chunk succeeded. If is_sound (the chunk's keys, values and logits are
  // finite), the sequence's full blocks are published to the prefix cache; if not, the sequence
  // publishes no blocks from here on. Returns true if the sequence was retiring and is now
  // released.
  [[nodiscard]] bool finish(const ScheduledChunk& chunk, bool is_sound);
  // The step with this chunk failed, and so did every later step in flight: the sequence returns to
  // its progress before the chunk. Returns as finish() does.
  [[nodiscard]] bool undo(const ScheduledChunk& chunk);
  // Requeues a sequence that has to forward its whole context again (no KV cache). No step in
  // flight may name it.
  void restart(Sequence& sequence) { requeue(sequence, RequeueReason::kRestart); }
  // Cuts a full context (context shift) and requeues the sequence. No step in flight may name it.
  void cut(Sequence& sequence);
  // Drops the host blocks that the step was to store, because it or an earlier step failed.
  void undo_stores(const Schedule& schedule);
  // Takes host blocks with wrong content out of use.
  void quarantine(std::span<const HostBlockId> blocks);
  // Requeues the sequences that wait to load a host block that no longer exists. No step may be in
  // flight.
  void requeue_failed_loads();
  // The sequence's choice has ended: it is never planned again. Returns true if it was released at
  // once; otherwise finish() or undo() returns true when no step in flight names it any more.
  [[nodiscard]] bool retire(Sequence& sequence);
  // Reports how long a step took.
  void observe(const StepWork& work, double seconds) { step_time_.observe(work, seconds); }

  const WaitingQueue& waiting() const { return waiting_; }
  const std::vector<Sequence*>& running() const { return running_; }  // in order of admission
  RunningLoad running_load() const;
  const BlockPool& pool() const { return pool_; }
  const PrefixCache& cache() const { return cache_; }
  const EngineConfig& config() const { return config_; }
  const StepLimits& limits() const { return config_.limits; }
  const StepTime& step_time() const { return step_time_; }
  const FairShare& fair_share() const { return fair_share_; }
  int32_t max_running() const { return max_running_; }
  bool idle() const { return waiting_.empty() && running_.empty(); }
  uint64_t n_preemptions() const { return n_preemptions_; }
  // Admissions that loaded blocks from host memory.
  uint64_t n_loading_admissions() const { return n_loading_admissions_; }
  // Admissions for which loading blocks from host memory looked slower than computing them.
  uint64_t n_slow_loads() const { return n_slow_loads_; }
  // After being deferred for so many steps, a sequence computes the shared prefix itself.
  static constexpr int32_t kMaxStepsDeferred = 64;

  // Blocks for the most tokens that the sequence can have.
  int32_t n_blocks_max(const Sequence& sequence) const;
  // Blocks that an admission reserves, shared blocks included.
  int32_t n_blocks_to_reserve(const Sequence& sequence) const;
  // Whether the sequence may be preempted. Only then may it be reserved less than n_blocks_max().
  bool is_preemptible(const Sequence& sequence) const;

 private:
  void admit(const ScheduledChunk& chunk, const Schedule& schedule);
  void extend(Sequence& sequence);
  void make_room(const ScheduledChunk& chunk);
  void insert(Sequence& sequence);
  void defer(const Deferral& deferral);
  // Returns to the queues the deferred sequences whose step limit is reached.
  void recall_overdue();
  // Returns to the queues the deferred sequences that wait for blocks that `leader` has published,
  // or all that wait for `leader` if it publishes no more (deferred_queue.h).
  void recall_followers(const Sequence& leader);
  void requeue(Sequence& sequence, RequeueReason reason);
  void give_up_slot(Sequence& sequence);
  bool release_if_done(Sequence& sequence);
  void publish(Sequence& sequence, int32_t n_tokens);

  const EngineConfig config_;
  BlockPool& pool_;
  PrefixCache& cache_;
  const int32_t max_running_;
  WaitingQueue waiting_;
  std::vector<Sequence*> running_;
  std::vector<SeqSlot> free_slots_;  // a stack
  FairShare fair_share_;
  StepTime step_time_;
  std::vector<OutputEstimate> output_estimates_;  // [n_tenants]
  uint64_t n_commits_ = 0;
  uint64_t n_preemptions_ = 0;
  uint64_t n_loading_admissions_ = 0;
  uint64_t n_slow_loads_ = 0;
};

}  // namespace lockstep
