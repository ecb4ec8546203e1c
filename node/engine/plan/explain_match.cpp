#include "node/engine/plan/explain_match.h"

#include <algorithm>

#include "node/engine/plan/scheduler.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {
namespace {

// The first position whose token differs from every cached continuation of the n_blocks matched.
int32_t first_divergent(const Sequence& sequence, const Scheduler& scheduler, int32_t n_blocks) {
  const LiveRequest& request = sequence.owner();
  const auto n_tokens = n_blocks * scheduler.limits().block_size;
  const std::span<const BlockRef> passed = sequence.chain().refs();
  const BlockId last =
      n_blocks == 0 ? PrefixIndex::kNone : passed[static_cast<size_t>(n_blocks - 1)].id();
  const auto rest = std::span(request.request.prompt).subspan(static_cast<size_t>(n_tokens));
  const PrefixIndex& index = scheduler.cache().index();
  return n_tokens + index.find_partial(request.prefix.key, last, rest).n_tokens;
}

bool is_being_computed(uint64_t hash, size_t block, const Sequence& by_others_than,
                       const Scheduler& scheduler) {
  return std::ranges::any_of(scheduler.running(), [&](const Sequence* other) {
    if (&other->owner() == &by_others_than.owner() || !other->is_running()) return false;
    if (other->n_cuts() > 0) return false;  // its context is no longer its prompt
    const std::vector<uint64_t>& theirs = other->owner().prefix.blocks;
    return other->chain().publishes() && block < theirs.size() && theirs[block] == hash;
  });
}

}  // namespace

CacheReceipt explain_match(const Sequence& sequence, const Scheduler& scheduler,
                           const CacheHistory& history, Clock::TimePoint now) {
  CacheReceipt receipt;
  const LiveRequest& request = sequence.owner();
  if (!request.takes_part_in_cache) return receipt;
  receipt.n_matched = sequence.n_cached_of_prompt();
  const int32_t block_size = scheduler.limits().block_size;
  // Only full blocks count as reusable, although tokens of one more may match a cached block.
  const int32_t n_reusable = (sequence.n_prompt() - 1) / block_size * block_size;
  if (n_reusable > 0 && receipt.n_matched >= n_reusable) {
    receipt.outcome = CacheOutcome::kHit;
    receipt.first_divergent = sequence.n_prompt();
    return receipt;
  }
  const auto missing = static_cast<size_t>(receipt.n_matched / block_size);
  // Blocks that are to be loaded from host memory are not in the chain yet.
  const int32_t n_passed = std::min(sequence.chain().n_blocks(), static_cast<int32_t>(missing));
  receipt.first_divergent =
      std::max(receipt.n_matched, first_divergent(sequence, scheduler, n_passed));
  receipt.outcome = CacheOutcome::kNeverSeen;
  if (missing >= request.prefix.blocks.size()) return receipt;
  const uint64_t hash = request.prefix.blocks[missing];
  if (is_being_computed(hash, missing, sequence, scheduler)) {
    receipt.outcome = CacheOutcome::kNotCommitted;
  } else if (const auto at = history.evicted_at(hash)) {
    receipt.outcome = CacheOutcome::kEvicted;
    receipt.evicted_for = now - *at;
  }
  return receipt;
}

}  // namespace lockstep
