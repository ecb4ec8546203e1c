// Schedule: a planned step: the chunks that run, and the preemptions, admissions, loads and
// deferrals that come with them. Plain data: Scheduler::plan() writes it, Scheduler::commit()
// carries it out, StepWriter turns it into a StepPlan. Engine thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/ids.h"
#include "node/engine/plan/step_time.h"
#include "node/engine/queue/fair_share.h"
#include "node/engine/queue/waiting_queue.h"
#include "node/engine/sequence/sequence.h"
#include "node/kv/pool/tenant_ledger.h"
#include "node/kv/prefix/prefix_cache.h"

namespace lockstep {

// One sequence's part of a step: positions [first_position, first_position + n_tokens).
struct ScheduledChunk {
  Sequence* sequence = nullptr;
  int32_t first_position = 0;
  int32_t n_tokens = 0;
  int32_t prefill_end = 0;        // the position at which the sequence's prefill ends
  bool samples = false;           // the token after the chunk is sampled
  bool needs_block = false;       // it takes one block beyond its reservation
  bool writes_token_ids = false;  // the plan carries all tokens before first_position to the ranks
  bool admits = false;            // the sequence leaves the waiting queue with this chunk
  bool is_new = false;            // it is the sequence's first admission
  bool copies = false;            // its first own block begins as a copy of tokens of a shared one
  bool loads = false;             // its first own blocks are loaded from host memory
  // Only if `admits`. Shared prefix entries: [first_shared, first_shared + n_shared) of
  // Schedule::shared. Host blocks to load: likewise of Schedule::loaded. `partial`: the prefix
  // entry whose first tokens are copied. n_blocks_reserved counts shared blocks too.
  size_t first_shared = 0;
  size_t n_shared = 0;
  size_t first_loaded = 0;
  size_t n_loaded = 0;
  BlockId partial = PrefixIndex::kNone;
  int32_t n_blocks_reserved = 0;
};

// A sequence in prefill that runs, or is admitted by the current plan.
struct PlannedPrompt {
  Sequence* sequence = nullptr;
  int64_t chunk = -1;  // index in Schedule::chunks; -1 = none yet
  int32_t n_left = 0;  // prefill tokens that the plan has not given rows to
};

// How far the plan has come in one tenant's waiting queue. Only AdmissionPlanner uses it.
struct WaitingCursor {
  // Waiting sequences that the plan has admitted, deferred or found no room for.
  std::vector<const Sequence*> looked_at;
  size_t next = 0;                            // index in the queue; all before it are in looked_at
  WaitingQueue::Shortest::iterator shortest;  // the same for the shortest-first order
  bool is_closed = false;                     // the tenant is at its ceiling: no more admissions
  bool may_overtake = true;                   // false once an overtaking sequence found no room

  void reset(const WaitingQueue& waiting, size_t tenant);
};

// Reused for later steps; allocates nothing once it has held a full step.
struct Schedule {
  uint64_t step = 0;
  std::vector<ScheduledChunk> chunks;  // in the order of the plan's rows
  StepWork work;                       // of all chunks
  std::vector<Sequence*> preempted;    // requeued by commit() before anything else
  // A preemption would take blocks that a step in flight uses: nothing is planned until that step
  // is done.
  bool waits_for_flight = false;
  bool is_refused = false;          // a fault point refused blocks; a new plan may get them
  std::vector<BlockId> shared;      // prefix entries that admissions share
  std::vector<HostBlockId> loaded;  // host blocks that admissions load
  std::vector<HostCopy> stores;     // blocks to store in host memory first; set by commit()
  int32_t n_slow_loads = 0;         // admissions for which loading looked slower than computing
  std::vector<Deferral> deferred;
  int32_t n_token_ids = 0;    // tokens that the plan only copies into token_ids
  FairShare fair_share{{1}};  // the state after the step

  // Scratch space of the planner.
  TenantLedger ledger{0, {}};    // the pool's, less what the plan takes
  PrefixMatch match;             // of the waiting sequence that the planner looks at
  std::vector<Sequence*> order;  // running sequences in order of service
  // [n_tenants]: the prompts that can still get rows, in order of service.
  std::vector<std::vector<PlannedPrompt>> prompts;
  std::vector<WaitingCursor> waiting;       // [n_tenants]
  std::vector<uint8_t> tenant_has_prompts;  // [n_tenants]: whether it can use rows, for FairShare

  int32_t n_tokens() const { return work.n_rows; }
  int32_t n_samples() const { return work.n_samples; }
  bool empty() const { return chunks.empty(); }
  std::vector<Sequence*> sequences() const;  // in the order of the chunks

  // Has the chunk write the tokens before its first position to token_ids if the ranks lack them.
  // Returns false if the plan has no room for those: it has room for max_token_ids.
  bool write_token_ids(ScheduledChunk& chunk, int32_t max_token_ids);
  // Whether a fault point refuses blocks to the plan, available or not. Asked once per allocation.
  bool refuses_blocks();
};

}  // namespace lockstep
