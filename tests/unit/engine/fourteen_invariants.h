// FourteenInvariants: invariants of pool, index and scheduler, recounted from the blocks, tables
// and pages after every operation, in addition to what the engine checks itself. Numbered as in
// docs/engine.md, section 9, "The fourteen".
#pragma once

#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/unit/engine/harness.h"

namespace lockstep::testing {

class FourteenInvariants {
 public:
  FourteenInvariants(const EngineConfig& config, const EngineCore& core, NullExecutor& executor)
      : config_(config), core_(core), executor_(executor) {
    // 14: the executor checks the digest of every plan. Here: which blocks a step uses.
    executor.on_submit = [this](const StepPlanView& plan) { note_step(plan); };
  }

  // Checks what must hold between two operations.
  void check() {
    ASSERT_EQ(check_invariants(scheduler(), true), 0);
    check_states();
    check_references();
    check_tenants();
    check_entries();
    check_fences();
    check_sequences();
    check_counters();
  }

  // 13: to be called once all requests have ended and the cache is cleared.
  void check_baseline() const {
    const BlockPool& pool = scheduler().pool();
    ASSERT_EQ(pool.n_blocks_free(), pool.n_blocks_total());
    ASSERT_EQ(pool.n_blocks_reserved(), 0);
    for (int32_t i = 0; i < pool.n_blocks_total(); ++i) ASSERT_EQ(pool.n_refs(BlockId{i}), 0u);
    for (int32_t t = 0; t < pool.ledger().n_tenants(); ++t) {
      ASSERT_EQ(pool.ledger().n_used(t) + pool.ledger().n_cached(t), 0);
    }
    ASSERT_EQ(core_.cache().index().n_entries(), 0);
    ASSERT_EQ(core_.cache().index().n_keys(), 0);
  }

 private:
  struct BlockUse {
    BlockId block{};
    uint32_t generation = 0;
  };

  const Scheduler& scheduler() const { return core_.scheduler(); }
  static int32_t tenant_of(const Sequence& sequence) { return sequence.owner().request.tenant; }

  // 1, 3: states sum to the pool; a block is free or cached exactly when it has no reference.
  void check_states() const {
    const BlockPool& pool = scheduler().pool();
    int32_t n_free = 0, n_cached = 0, n_active = 0;
    for (int32_t i = 0; i < pool.n_blocks_total(); ++i) {
      const BlockId id{i};
      n_free += pool.state(id) == BlockState::kFree;
      n_cached += pool.state(id) == BlockState::kCached;
      n_active += pool.state(id) == BlockState::kActive;
      ASSERT_EQ(pool.state(id) == BlockState::kActive, pool.n_refs(id) > 0) << "block " << i;
    }
    ASSERT_EQ(n_free, pool.n_blocks_free());
    ASSERT_EQ(n_cached, pool.n_blocks_cached());
    ASSERT_EQ(n_free + n_cached + n_active, pool.n_blocks_total());
  }

  // 2: references are uses. 4: a block that may still be written to has one user and is in no
  // index.
  void check_references() const {
    const BlockPool& pool = scheduler().pool();
    std::map<int32_t, uint32_t> n_uses;
    std::set<int32_t> is_written;
    for (const Sequence* sequence : scheduler().running()) {
      const std::span<const BlockId> ids = sequence->table().ids();
      for (size_t b = 0; b < ids.size(); ++b) {
        ++n_uses[raw(ids[b])];
        const auto end = static_cast<int32_t>(b + 1) * config_.limits.block_size;
        if (end > sequence->n_computed()) is_written.insert(raw(ids[b]));
      }
      for (const BlockRef& passed : sequence->chain().refs()) ++n_uses[raw(passed.id())];
      if (sequence->awaits_copy()) ++n_uses[raw(sequence->partial().id())];
    }
    for (int32_t i = 0; i < pool.n_blocks_total(); ++i) {
      ASSERT_EQ(pool.n_refs(BlockId{i}), n_uses.contains(i) ? n_uses.at(i) : 0u) << "block " << i;
    }
    for (int32_t i : is_written) {
      ASSERT_EQ(pool.n_refs(BlockId{i}), 1u);
      ASSERT_FALSE(pool.is_kept(BlockId{i}));
    }
  }

  // 9, 10: each block is charged to one tenant, each reservation to its holder's tenant, and all
  // reservations can be fulfilled.
  void check_tenants() const {
    const BlockPool& pool = scheduler().pool();
    std::vector<int32_t> used(config_.tenants.size(), 0), cached(config_.tenants.size(), 0);
    int32_t n_reserved = 0;
    for (int32_t i = 0; i < pool.n_blocks_total(); ++i) {
      const BlockId id{i};
      if (pool.state(id) == BlockState::kFree) continue;
      auto& account = pool.state(id) == BlockState::kActive ? used : cached;
      ++account[static_cast<size_t>(pool.owner(id))];
    }
    for (const Sequence* sequence : scheduler().running()) {
      const int32_t n = sequence->table().n_blocks_reserved();
      used[static_cast<size_t>(tenant_of(*sequence))] += n;
      n_reserved += n;
    }
    ASSERT_EQ(n_reserved, pool.n_blocks_reserved());
    ASSERT_LE(n_reserved, pool.n_blocks_free() + pool.n_blocks_cached());
    int32_t n_committed = 0;
    for (size_t t = 0; t < used.size(); ++t) {
      const TenantConfig& tenant = config_.tenants[t];
      ASSERT_EQ(used[t], pool.ledger().n_used(static_cast<int32_t>(t)));
      ASSERT_EQ(cached[t], pool.ledger().n_cached(static_cast<int32_t>(t)));
      ASSERT_TRUE(tenant.ceiling == 0 || used[t] <= tenant.ceiling);
      n_committed += std::max(used[t], tenant.floor);
    }
    ASSERT_LE(n_committed, pool.n_blocks_total());
  }

  // 5: an indexed block holds what the index says. 6: so do all blocks before it.
  void check_entries() const {
    const PrefixIndex& index = core_.cache().index();
    for (int32_t i = 0; i < index.n_blocks(); ++i) {
      const BlockId entry{i};
      if (!index.contains(entry)) continue;
      int32_t position = 0;
      for (BlockId at = index.parent(entry); at != PrefixIndex::kNone; at = index.parent(at)) {
        ASSERT_TRUE(index.contains(at));
        position += index.block_size();
      }
      ASSERT_NE(scheduler().pool().state(entry), BlockState::kFree);
      for (int32_t t = 0; t < index.block_size(); ++t) {
        const int32_t token = index.tokens(entry)[static_cast<size_t>(t)];
        ASSERT_TRUE(executor_.holds(entry, t, token, position + t)) << "entry " << i;
      }
    }
  }

  // 7: a block that a step in flight uses is not allocated again before the step is done.
  void note_step(const StepPlanView& plan) {
    std::vector<BlockUse>& uses = in_flight_[plan.header().step];
    const auto note = [&](BlockId id) { uses.push_back({id, scheduler().pool().generation(id)}); };
    for (int32_t id : plan.block_tables()) {
      if (id >= 0) note(BlockId{id});
    }
    for (int32_t id : plan.copies_from()) note(BlockId{id});
  }
  void check_fences() {
    while (static_cast<int>(in_flight_.size()) > core_.n_in_flight()) {
      in_flight_.erase(in_flight_.begin());
    }
    for (const auto& [step, uses] : in_flight_) {
      for (const auto& [block, generation] : uses) {
        ASSERT_EQ(scheduler().pool().generation(block), generation) << "step " << step;
        ASSERT_GT(scheduler().pool().n_refs(block), 0u) << "step " << step;
      }
    }
  }

  // 8: a sequence forwards at least one token of its context. 11 (half of it): no sequence is
  // preempted too often. 12: planned tokens have slots.
  void check_sequences() const {
    for (const Sequence* sequence : scheduler().running()) {
      ASSERT_LT(sequence->n_cached(), sequence->n_known());
      ASSERT_GE(sequence->n_cached(), 0);
      ASSERT_LE(sequence->n_preemptions(), config_.max_preemptions);
      ASSERT_LE(sequence->n_known(), config_.limits.max_model_len);
      ASSERT_LE(sequence->next_position(), sequence->table().n_slots());
    }
    std::vector<Sequence*> waiting = scheduler().waiting().deferred().all();
    for (size_t tenant = 0; tenant < scheduler().waiting().n_tenants(); ++tenant) {
      const std::deque<Sequence*>& line = scheduler().waiting().of(tenant);
      waiting.insert(waiting.end(), line.begin(), line.end());
    }
    ASSERT_EQ(static_cast<int32_t>(waiting.size()), scheduler().waiting().n_sequences());
    for (const Sequence* sequence : waiting) {
      ASSERT_LE(sequence->n_preemptions(), config_.max_preemptions);
      ASSERT_EQ(sequence->table().n_blocks() + sequence->table().n_blocks_reserved(), 0);
      ASSERT_EQ(sequence->n_inflight(), 0);
    }
  }

  // 8: each prompt is counted once. All counters only grow.
  void check_counters() {
    const EngineSnapshot s = core_.snapshot();
    ASSERT_EQ(s.n_invariant_violations(), 0u);
    ASSERT_LE(s.n_cached_tokens, s.n_prompt_tokens);
    std::vector<uint64_t> counters = {s.n_steps,          s.n_blocks_evicted,
                                      s.n_regret_tokens,  s.n_preemptions,
                                      s.n_prompt_tokens,  s.n_cached_tokens,
                                      s.n_output_tokens,  s.n_recomputed_tokens,
                                      s.n_context_shifts, s.n_tokens_after_shift,
                                      s.n_lookup_tokens,  s.n_hit_tokens,
                                      s.n_host_stored,    s.n_host_loaded,
                                      s.n_host_evicted,   s.n_host_bad,
                                      s.n_stopped,        s.n_length,
                                      s.n_cancelled,      s.n_failed,
                                      s.n_query_rows};
    for (const auto& of : {s.decode_failures.n_retried, s.decode_failures.n_failed}) {
      counters.insert(counters.end(), of.begin(), of.end());
    }
    for (size_t i = 0; i < counters_.size(); ++i) ASSERT_GE(counters[i], counters_[i]) << i;
    counters_ = counters;
  }

  const EngineConfig& config_;
  const EngineCore& core_;
  NullExecutor& executor_;
  std::map<uint64_t, std::vector<BlockUse>> in_flight_;  // by step
  std::vector<uint64_t> counters_;
};

}  // namespace lockstep::testing
