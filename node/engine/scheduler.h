// Scheduler: who runs in the next step, and with how many tokens. Owns the order of the sequences,
// their slots and, through the pools, their blocks. Engine thread only; it knows no clock, no text
// and no ranks.
//
// plan() reads and never writes; commit() is the only thing that makes a plan true:
//   1. one token for every decoding sequence; there is always room for all of them
//   2. what is left of the token budget to prompts, first come first served, cut where it ends
//   3. then to waiting sequences, in order of arrival, as long as the next in line gets a slot, the
//      cached blocks that its prompt begins with and a promise of all others it can ever need.
//      Nobody overtakes, but one whose prefix somebody is computing stands back for some steps.
// At most min(max_seqs, max_tokens) sequences run, so a prompt gets at least a token each step.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "node/engine/sequence.h"
#include "node/kv/block_pool.h"
#include "node/model/step_plan.h"

namespace lockstep {

// How long a sequence waits for another one's blocks before it computes them itself.
inline constexpr int32_t kMaxStepsStoodBack = 64;

// One sequence's part of a step: positions [first_position, first_position + n_tokens).
struct ScheduledChunk {
  Sequence* sequence = nullptr;
  int32_t first_position = 0;
  int32_t n_tokens = 0;
  bool samples = false;  // the token after the chunk is sampled
  bool admits = false;   // the sequence leaves the waiting line with this chunk
  // If it admits: the nodes of the prefix cache that it shares, in Schedule::shared.
  size_t first_shared = 0;
  size_t n_shared = 0;
};

// A planned step. Reused; does not grow once it has held a full step.
struct Schedule {
  uint64_t step = 0;
  std::vector<ScheduledChunk> chunks;  // in the order of the plan's rows
  int32_t n_tokens = 0;
  int32_t n_samples = 0;
  std::vector<int32_t> n_blocks_promised;  // [n_groups], by this step's admissions, shared ones too
  std::vector<BlockId> shared;             // of all admissions
  std::vector<BlockId> match;              // of the sequence being looked at
  std::vector<Sequence*> standing_back;
  int32_t n_cached = 0;  // tokens that the admissions found in the cache
};

class Scheduler {
 public:
  // The pools, one per KV group, and the cache must outlive the scheduler.
  Scheduler(const StepLimits& limits, KvPools& pools, PrefixCache& cache);

  // Joins the end of the waiting line.
  void enqueue(Sequence& sequence);
  // The next step; no chunks if nothing can run now.
  void plan(Schedule& out) const;
  // Admits, hands out blocks and counts the chunks as in flight. Nothing may have changed since
  // plan().
  void commit(const Schedule& schedule);
  // The step with this chunk is done, well or not. True if the sequence, which was retiring, has
  // thereby given everything back.
  [[nodiscard]] bool finish(const ScheduledChunk& chunk);
  // A row of the sequence has given finite logits, so all that it has computed is sound: its full
  // blocks are there for others.
  void publish(Sequence& sequence);
  // Its choice has ended: it is never planned again. True if it could give everything back at once;
  // else finish() will say so, when no step in flight names it any more.
  [[nodiscard]] bool retire(Sequence& sequence);

  const std::deque<Sequence*>& waiting() const { return waiting_; }   // in order of arrival
  const std::vector<Sequence*>& running() const { return running_; }  // admitted, not yet released
  int32_t n_requests_waiting() const { return n_requests_waiting_; }  // not one choice admitted
  const KvPools& pools() const { return pools_; }
  const PrefixCache& cache() const { return cache_; }
  const StepLimits& limits() const { return limits_; }
  int32_t max_running() const { return max_running_; }
  bool idle() const { return waiting_.empty() && running_.empty(); }

 private:
  void plan_decodes(Schedule& out) const;
  void plan_prompts(Schedule& out) const;
  void plan_admissions(Schedule& out) const;
  void match(const Sequence& sequence, Schedule& out) const;
  bool stands_back(const Sequence& sequence, const Schedule& so_far) const;
  bool promise(const Sequence& sequence, Schedule& so_far) const;
  void add_prompt_chunk(Sequence& sequence, int32_t first_position, Schedule& out) const;
  void admit(const ScheduledChunk& chunk, const Schedule& schedule);
  void make_room(const Schedule& schedule);
  void leave_line(const std::deque<Sequence*>::iterator& place);
  void release(Sequence& sequence);

  const StepLimits limits_;
  KvPools& pools_;  // [n_groups]
  PrefixCache& cache_;
  const int32_t max_running_;
  std::deque<Sequence*> waiting_;
  std::vector<Sequence*> running_;  // in order of admission
  std::vector<SlotId> free_slots_;  // a stack
  int32_t n_requests_waiting_ = 0;
  std::vector<int32_t> n_blocks_to_take_;                 // [n_groups], by the step being committed
  std::vector<std::span<const BlockId>> tables_at_hand_;  // [n_groups]
};

}  // namespace lockstep
