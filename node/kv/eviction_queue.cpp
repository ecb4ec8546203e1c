#include "node/kv/eviction_queue.h"

#include <algorithm>

#include "common/check.h"

namespace lockstep {

EvictionQueue::EvictionQueue(EvictionPolicy policy, int32_t n_blocks, int32_t n_tenants)
    : policy_(policy),
      info_(static_cast<size_t>(n_blocks)),
      heaps_(n_blocks, 2 * n_tenants),
      expiring_(policy == EvictionPolicy::kPriority ? n_blocks : 0, 1) {}

void EvictionQueue::advance(Clock::TimePoint now) {
  now_ = now;
  while (expiring_.top(0) >= 0) {
    const BlockId node{expiring_.top(0)};
    if (info(node).retention.until > now) return;
    set_retention(node, Retention());
  }
}

void EvictionQueue::enter(BlockId node, int64_t first_token, int32_t n_tokens) {
  info(node) = {.seconds = cost_.seconds(first_token, n_tokens)};
}

void EvictionQueue::use(BlockId node, const Retention& retention) {
  Info& used = info(node);
  ++used.n_uses;
  if (policy_ != EvictionPolicy::kPriority) return;
  const bool is_over = retention.until <= now_;
  const Retention wanted = is_over ? Retention() : retention;
  const Retention& has = used.retention;
  const bool is_first = used.n_uses == 1;
  if (is_first || wanted.priority > has.priority ||
      (wanted.priority == has.priority && wanted.until > has.until)) {
    set_retention(node, wanted);
  }
}

// Also of a queued node, which then changes its place.
void EvictionQueue::set_retention(BlockId node, const Retention& retention) {
  const bool was_queued = is_queued(node);
  if (was_queued) pull(node);
  if (expiring_.contains(raw(node))) expiring_.remove(0, raw(node));
  Info& changed = info(node);
  changed.retention = retention;
  if (retention.until != Clock::TimePoint::max()) {
    const double seconds =
        std::chrono::duration<double>(retention.until.time_since_epoch()).count();
    expiring_.push(0, raw(node), {seconds, 0});
  }
  if (!was_queued) return;
  changed.worth = worth(changed);
  push(node);
}

// GreedyDual-Size-Frequency (Cherkasova, HPL-98-69R1), with the block's seconds as its cost; its
// size is that of every other block. The clock makes what was worth much once go in the end.
double EvictionQueue::worth(const Info& node) const {
  switch (policy_) {
    case EvictionPolicy::kLru:
      return 0;
    case EvictionPolicy::kGdsf:
      return clock_ + node.n_uses * node.seconds;
    case EvictionPolicy::kPriority:
      return node.retention.priority;
  }
  return 0;
}

void EvictionQueue::release(BlockId node, int32_t tenant, bool is_leaf) {
  Info& released = info(node);
  released.worth = worth(released);
  released.stamp = next_stamp_++;
  released.tenant = tenant;
  released.is_leaf = is_leaf;
  push(node);
}

void EvictionQueue::push(BlockId node) {
  const Info& pushed = info(node);
  heaps_.push(heap_of(pushed.tenant, pushed.is_leaf), raw(node), {pushed.worth, pushed.stamp});
}

void EvictionQueue::pull(BlockId node) {
  heaps_.remove(heap_of(info(node).tenant, info(node).is_leaf), raw(node));
}

void EvictionQueue::reference(BlockId node) { pull(node); }

void EvictionQueue::become_leaf(BlockId node) {
  CHECK(is_queued(node) && !is_leaf(node));
  pull(node);
  info(node).is_leaf = true;
  push(node);
}

void EvictionQueue::move(BlockId node, int32_t tenant) {
  pull(node);
  info(node).tenant = tenant;
  push(node);
}

void EvictionQueue::evict(BlockId node) {
  CHECK(is_leaf(node));
  clock_ = std::max(clock_, info(node).worth);
  pull(node);
  if (policy_ == EvictionPolicy::kPriority && expiring_.contains(raw(node))) {
    expiring_.remove(0, raw(node));
  }
  info(node) = Info();
}

}  // namespace lockstep
