// Schedule: a planned step: who runs, with how many tokens, and what has to give way for it. Plain
// data, written by Scheduler::plan() and made true by commit(). Engine thread only.
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
  int32_t prefill_end = 0;        // where what the sequence forwards before it decodes ends
  bool samples = false;           // the token after the chunk is sampled
  bool needs_block = false;       // one more of every KV group than it was reserved
  bool writes_token_ids = false;  // the ranks are told all tokens before first_position
  bool admits = false;            // the sequence leaves the waiting queue with this chunk
  bool is_new = false;            // and has not been admitted before
  bool copies = false;            // the head of its first own block is copied from another one
  bool loads = false;             // its first own blocks come from host memory
  // If it admits: the nodes of the prefix cache that it shares, in Schedule::shared, what it loads,
  // in Schedule::loaded, the node whose head it copies, and for how many blocks it has a claim,
  // those included that it shares.
  size_t first_shared = 0;
  size_t n_shared = 0;
  size_t first_loaded = 0;
  size_t n_loaded = 0;
  BlockId partial = PrefixIndex::kNone;
  int32_t n_blocks_reserved = 0;
};

// A prompt that runs, or is admitted by the plan under way, and has tokens to forward.
struct PlannedPrompt {
  Sequence* sequence = nullptr;
  int64_t chunk = -1;  // of the step, once it has one
  int32_t n_left = 0;  // tokens before it decodes that the plan has not given rows to
};

// Where a tenant's prompts stand in a plan under way.
struct TenantQueue {
  std::vector<PlannedPrompt> prompts;  // those that the step can still take rows of, in order
  // Of its waiting queue, those that the plan has admitted, deferred or found no room for.
  std::vector<const Sequence*> looked_at;
  size_t next_waiting = 0;                    // nobody before it is left to look at
  WaitingQueue::Shortest::iterator shortest;  // the same, the shortest first
  bool is_closed = false;    // who waits has to wait on: the tenant is at its ceiling
  bool may_overtake = true;  // there was room for everybody who wanted to

  void reset(const WaitingQueue& line, size_t tenant);
};

// Reused; does not grow once it has held a full step.
struct Schedule {
  uint64_t step = 0;
  std::vector<ScheduledChunk> chunks;  // in the order of the plan's rows
  StepWork work;                       // of all chunks
  std::vector<Sequence*> preempted;    // lose their blocks before anything else happens
  // Somebody would have to lose blocks that a step in flight uses: nothing is planned until that
  // step is done.
  bool waits_for_flight = false;
  bool is_refused = false;      // a fault point has refused blocks: asked again, they may be there
  std::vector<BlockId> shared;  // of all admissions
  std::vector<HostBlockId> loaded;  // likewise
  HostCopies stores;                // what goes to host memory first: known once it is committed
  int32_t n_slow_loads = 0;         // admissions that might load blocks, but computing is cheaper
  std::vector<Deferral> deferred;
  int32_t n_token_ids = 0;  // tokens that only histories learn
  FairShare share{{1}};     // after the step

  // While planning.
  std::vector<TenantLedger> ledgers;       // [n_groups], with what the plan takes
  PrefixMatch match;                       // of the sequence being looked at
  std::vector<Sequence*> order;            // those that run, in order of service
  std::vector<TenantQueue> tenant_queues;  // [n_tenants]
  std::vector<uint8_t> can_use;            // [n_tenants]

  int32_t n_tokens() const { return work.n_rows; }
  int32_t n_samples() const { return work.n_samples; }
  bool empty() const { return chunks.empty(); }
  std::vector<Sequence*> sequences() const;  // in the order of the chunks
};

inline void TenantQueue::reset(const WaitingQueue& line, size_t tenant) {
  prompts.clear();
  looked_at.clear();
  next_waiting = 0;
  shortest = line.shortest_of(tenant).begin();
  is_closed = false;
  may_overtake = true;
}

inline std::vector<Sequence*> Schedule::sequences() const {
  std::vector<Sequence*> out;
  out.reserve(chunks.size());
  for (const ScheduledChunk& chunk : chunks) out.push_back(chunk.sequence);
  return out;
}

}  // namespace lockstep
