// Scheduler: who runs in the next step, and with how many tokens. Owns the order of the sequences,
// their slots and, through the pools, their blocks. Engine thread only; it knows no clock, no text
// and no ranks.
//
// plan() reads and never writes (node/engine/plan/step_planner.h says how it decides); commit() is
// the only thing that makes a plan true. An admitted sequence has a reservation of the blocks that
// its tokens and a likely answer need. One that outgrows it takes what is free or cached; if there
// is nothing, somebody is sent back to the waiting queue and goes on later from the tokens it has.
// After max_preemptions of that a sequence is admitted with a reservation of all it can ever need.
// At most min(max_seqs, max_tokens) sequences run, so every decode has a row in each step.
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

class Scheduler {
 public:
  // The pools, one per KV group, and the cache must outlive the scheduler.
  Scheduler(const EngineConfig& config, KvPools& pools, PrefixCache& cache);

  // Joins the waiting queue.
  void enqueue(Sequence& sequence);
  // The next step; empty if nothing can run now.
  void plan(Schedule& out) const;
  // A step of these sequences alone, as far as they run; nobody else is admitted or sent back.
  void plan_only(std::span<Sequence* const> sequences, Schedule& out) const;
  // Sends back, admits, hands out blocks and counts the chunks as in flight. Nothing may have
  // changed since plan(). Writes the schedule's chunks: which of them tell the ranks a history.
  void commit(Schedule& schedule);
  // The step with this chunk is done. If the keys and values that it stored are sound, and so are
  // all before them, its full blocks are there for others; if not, none of the sequence's are from
  // here on. True if the sequence, which was retiring, has thereby given everything back.
  [[nodiscard]] bool finish(const ScheduledChunk& chunk, bool is_sound);
  // The step with this chunk failed, and so did every step behind it: the sequence stands where it
  // stood before. True as for finish().
  [[nodiscard]] bool undo(const ScheduledChunk& chunk);
  // It is to forward all its tokens once more, and waits for that. Nothing in flight may name it.
  void restart(Sequence& sequence) { requeue(sequence, RequeueReason::kRestart); }
  // Its context is full: it waits to go on with a part of it. Nothing in flight may name it.
  void cut(Sequence& sequence);
  // Forgets what the step was to store in host memory: it, or one before it, failed.
  void undo_stores(const Schedule& schedule);
  // These host blocks do not hold what they should.
  void quarantine(std::span<const HostBlockId> blocks);
  // Sequences whose blocks in host memory are not there start over. Nothing may be in flight.
  void start_over_without_host_blocks();
  // Its choice has ended: it is never planned again. True if it could give everything back at once;
  // else finish() will say so, when no step in flight names it any more.
  [[nodiscard]] bool retire(Sequence& sequence);
  // How long a step took.
  void observe(const StepWork& work, double seconds) { step_time_.observe(work, seconds); }

  const WaitingQueue& waiting() const { return waiting_; }
  const std::vector<Sequence*>& running() const { return running_; }  // in order of admission
  const KvPools& pools() const { return pools_; }
  const PrefixCache& cache() const { return cache_; }
  const EngineConfig& config() const { return config_; }
  const StepLimits& limits() const { return config_.limits; }
  const StepTime& step_time() const { return step_time_; }
  const FairShare& share() const { return share_; }
  int32_t max_running() const { return max_running_; }
  bool idle() const { return waiting_.empty() && running_.empty(); }
  uint64_t n_preemptions() const { return n_preemptions_; }
  // Admissions that loaded blocks from host memory.
  uint64_t n_loading_admissions() const { return n_loading_admissions_; }
  // Admissions to whom loading blocks from host memory looked dearer than computing them.
  uint64_t n_slow_loads() const { return n_slow_loads_; }
  // How long a sequence waits for another one's blocks before it computes them itself.
  static constexpr int32_t kMaxStepsDeferred = 64;

  // Blocks of every KV group that all tokens a sequence can ever have need.
  int32_t n_blocks_max(const Sequence& sequence) const;
  // Those that it is reserved when it is admitted, shared ones included.
  int32_t n_blocks_to_reserve(const Sequence& sequence) const;
  // Whether it may be made to give up its blocks, and is reserved less than it may need.
  bool is_preemptible(const Sequence& sequence) const;

 private:
  void admit(const ScheduledChunk& chunk, const Schedule& schedule);
  void extend(Sequence& sequence);
  void make_room(const ScheduledChunk& chunk);
  void insert(Sequence& sequence);
  void defer(const Deferral& deferral);
  void recall_overdue();
  // Those who wait for blocks that it has published, or for one that publishes no more.
  void recall_followers(const Sequence& leader);
  void requeue(Sequence& sequence, RequeueReason reason);
  void give_up_slot(Sequence& sequence);
  bool released(Sequence& sequence);
  void publish(Sequence& sequence, int32_t n_tokens);

  const EngineConfig config_;
  KvPools& pools_;  // [n_groups]
  PrefixCache& cache_;
  const int32_t max_running_;
  WaitingQueue waiting_;
  std::vector<Sequence*> running_;
  std::vector<SeqSlot> free_slots_;  // a stack
  FairShare share_;
  StepTime step_time_;
  std::vector<OutputEstimate> outputs_;  // [n_tenants]
  uint64_t n_commits_ = 0;
  uint64_t n_preemptions_ = 0;
  uint64_t n_loading_admissions_ = 0;
  uint64_t n_slow_loads_ = 0;
  // Of the commit at hand.
  std::vector<BlockReservation> reservations_;            // [n_groups]
  std::vector<int32_t> n_blocks_to_take_;                 // [n_groups]
  std::vector<std::span<const BlockId>> tables_at_hand_;  // [n_groups]
};

}  // namespace lockstep
