// EvictionQueue: the entries of the prefix index that nobody references, in the order in which the
// policy would have them go, and what it judges them by: when they were let go of, how often they
// were used, what they cost, how long they are to be kept. Knows ids only. Engine thread only.
//
// A tenant's entries without children are its victims; the others wait for their children to go
// (children first). Both kinds lie in heaps, so every operation is O(log n), and nothing is
// allocated after construction.
//
//   enter ─▶ referenced ── release ─▶ queued: interior ── become_childless ─▶ queued: childless ──
//   evict
//                ▲────────────────── reference ───┴──────────────────────────┘
#pragma once

#include <cstdint>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "node/kv/prefix/eviction_policy.h"
#include "node/kv/prefix/pairing_heaps.h"

namespace lockstep {

class EvictionQueue {
 public:
  EvictionQueue(EvictionPolicy policy, int32_t n_blocks, int32_t n_tenants);

  // From now on blocks that are taken in cost this much.
  void set_cost(const PrefillCost& cost) { cost_ = cost; }
  // What was to be kept until `now` is like any other.
  void advance(Clock::TimePoint now);

  // Taken into the index, as tokens [first_token, first_token + n_tokens) of its sequence, and
  // referenced.
  void enter(BlockId entry, int64_t first_token, int32_t n_tokens);
  // One more sequence, or the first one, has passed the entry.
  void use(BlockId entry, const Retention& retention);
  // The last reference went; and somebody has one again.
  void release(BlockId entry, int32_t tenant, bool is_childless);
  void reference(BlockId entry);
  // The last child of a queued entry went.
  void become_childless(BlockId entry);
  // It is counted to another tenant now.
  void move(BlockId entry, int32_t tenant);
  // It goes from queue and index; has no children.
  void evict(BlockId entry);

  // The first of a tenant's entries without children, of its other ones; kNone (-1) if it has none.
  BlockId first_childless(int32_t tenant) const {
    return BlockId{heaps_.top(heap_of(tenant, true))};
  }
  BlockId first_with_children(int32_t tenant) const {
    return BlockId{heaps_.top(heap_of(tenant, false))};
  }
  // Whether a goes before b, both queued.
  bool goes_before(BlockId a, BlockId b) const { return heaps_.key(raw(a)) < heaps_.key(raw(b)); }

  bool is_queued(BlockId entry) const { return heaps_.contains(raw(entry)); }
  bool is_childless(BlockId entry) const { return is_queued(entry) && info(entry).is_childless; }
  int32_t tenant(BlockId entry) const { return info(entry).tenant; }

 private:
  struct Info {
    double seconds = 0;   // to compute it again
    double worth = 0;     // when it was let go of
    uint64_t stamp = 0;   // when it was let go of
    uint32_t n_uses = 0;  // sequences that passed it
    Retention retention = {};
    int32_t tenant = 0;
    bool is_childless = false;
  };

  static int32_t heap_of(int32_t tenant, bool is_childless) {
    return 2 * tenant + (is_childless ? 0 : 1);
  }
  Info& info(BlockId entry) { return info_[static_cast<size_t>(raw(entry))]; }
  const Info& info(BlockId entry) const { return info_[static_cast<size_t>(raw(entry))]; }
  double worth(const Info& entry) const;
  void push(BlockId entry);
  void pull(BlockId entry);
  void set_retention(BlockId entry, const Retention& retention);

  const EvictionPolicy policy_;
  PrefillCost cost_;
  Clock::TimePoint now_{};
  double clock_ = 0;  // gdsf: the worth of what was evicted last; what is used now adds to it
  uint64_t next_stamp_ = 0;  // grows with every release
  std::vector<Info> info_;   // [n_blocks]
  PairingHeaps heaps_;       // [n_tenants, {childless, others}]
  PairingHeaps expiring_;    // one: the entries whose retention ends, soonest first
};

}  // namespace lockstep
