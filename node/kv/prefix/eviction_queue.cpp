#include "node/kv/prefix/eviction_queue.h"

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
    const BlockId entry{expiring_.top(0)};
    if (info(entry).retention.until > now) return;
    set_retention(entry, Retention());
  }
}

void EvictionQueue::enter(BlockId entry, int64_t first_token, int32_t n_tokens) {
  info(entry) = {.seconds = cost_.seconds(first_token, n_tokens)};
}

void EvictionQueue::use(BlockId entry, const Retention& retention) {
  Info& used = info(entry);
  ++used.n_uses;
  if (policy_ != EvictionPolicy::kPriority) return;
  const bool is_over = retention.until <= now_;
  const Retention wanted = is_over ? Retention() : retention;
  const Retention& has = used.retention;
  const bool is_first = used.n_uses == 1;
  if (is_first || wanted.priority > has.priority ||
      (wanted.priority == has.priority && wanted.until > has.until)) {
    set_retention(entry, wanted);
  }
}

// The entry may be queued; its place in the queue then changes.
void EvictionQueue::set_retention(BlockId entry, const Retention& retention) {
  const bool was_queued = is_queued(entry);
  if (was_queued) pull(entry);
  if (expiring_.contains(raw(entry))) expiring_.remove(0, raw(entry));
  Info& changed = info(entry);
  changed.retention = retention;
  if (retention.until != Clock::TimePoint::max()) {
    const double seconds =
        std::chrono::duration<double>(retention.until.time_since_epoch()).count();
    expiring_.push(0, raw(entry), {seconds, 0});
  }
  if (!was_queued) return;
  changed.worth = worth(changed);
  push(entry);
}

// kGdsf: GreedyDual-Size-Frequency (Cherkasova, HPL-98-69R1), with the block's seconds as its cost.
// All blocks have the same size. The clock lets an entry of once high worth be evicted in the end.
double EvictionQueue::worth(const Info& entry) const {
  switch (policy_) {
    case EvictionPolicy::kLru:
      return 0;
    case EvictionPolicy::kGdsf:
      return clock_ + entry.n_uses * entry.seconds;
    case EvictionPolicy::kPriority:
      return entry.retention.priority;
  }
  return 0;
}

void EvictionQueue::release(BlockId entry, int32_t tenant, bool is_childless) {
  Info& released = info(entry);
  released.worth = worth(released);
  released.stamp = next_stamp_++;
  released.tenant = tenant;
  released.is_childless = is_childless;
  push(entry);
}

void EvictionQueue::push(BlockId entry) {
  const Info& pushed = info(entry);
  heaps_.push(heap_of(pushed.tenant, pushed.is_childless), raw(entry),
              {pushed.worth, pushed.stamp});
}

void EvictionQueue::pull(BlockId entry) {
  heaps_.remove(heap_of(info(entry).tenant, info(entry).is_childless), raw(entry));
}

void EvictionQueue::reference(BlockId entry) { pull(entry); }

void EvictionQueue::become_childless(BlockId entry) {
  CHECK(is_queued(entry) && !is_childless(entry));
  pull(entry);
  info(entry).is_childless = true;
  push(entry);
}

void EvictionQueue::move(BlockId entry, int32_t tenant) {
  pull(entry);
  info(entry).tenant = tenant;
  push(entry);
}

void EvictionQueue::evict(BlockId entry) {
  CHECK(is_childless(entry));
  clock_ = std::max(clock_, info(entry).worth);
  pull(entry);
  if (policy_ == EvictionPolicy::kPriority && expiring_.contains(raw(entry))) {
    expiring_.remove(0, raw(entry));
  }
  info(entry) = Info();
}

}  // namespace lockstep
