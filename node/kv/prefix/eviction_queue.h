// EvictionQueue: the unreferenced entries of the prefix index, in the policy's order of eviction.
// Owns what the policy compares: when an entry was released, how often it was used, what it costs
// to compute again, and its retention. Knows ids only. Engine thread only.
//
// A released entry is queued under a tenant. Only childless entries can be evicted; an entry with
// children is evicted after them. Both kinds are in heaps, so every operation is O(log n), and
// nothing is allocated after construction.
//
//   enter ─▶ referenced ─ release ─▶ with children ─ become_childless ─▶ childless ─ evict ─▶
//                ▲                        │                                  │
//                └────── reference ───────┴──────────────────────────────────┘
//
// release() queues an entry without children as childless at once.
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

  // Sets the cost that entries are entered with from now on.
  void set_cost(const PrefillCost& cost) { cost_ = cost; }
  // Sets the time. An entry whose retention ends by `now` gets the default retention.
  void advance(Clock::TimePoint now);

  // The entry was inserted into the index, as tokens [first_token, first_token + n_tokens) of its
  // sequence, and is referenced.
  void enter(BlockId entry, int64_t first_token, int32_t n_tokens);
  // A sequence (the first one included) has passed the entry.
  void use(BlockId entry, const Retention& retention);
  // The entry's last reference was dropped: queues it.
  void release(BlockId entry, int32_t tenant, bool is_childless);
  // A queued entry got a reference again: removes it from the queue.
  void reference(BlockId entry);
  // The last child of a queued entry was removed from the index.
  void become_childless(BlockId entry);
  // A queued entry is charged to another tenant now.
  void move(BlockId entry, int32_t tenant);
  // Removes a childless entry, which is evicted from the index too.
  void evict(BlockId entry);

  // The tenant's first entry in order of eviction, among its childless ones and among its others;
  // kNone (-1) if it has none.
  BlockId first_childless(int32_t tenant) const {
    return BlockId{heaps_.top(heap_of(tenant, true))};
  }
  BlockId first_with_children(int32_t tenant) const {
    return BlockId{heaps_.top(heap_of(tenant, false))};
  }
  // Whether a is evicted before b. Both must be queued.
  bool goes_before(BlockId a, BlockId b) const { return heaps_.key(raw(a)) < heaps_.key(raw(b)); }

  bool is_queued(BlockId entry) const { return heaps_.contains(raw(entry)); }
  bool is_childless(BlockId entry) const { return is_queued(entry) && info(entry).is_childless; }
  int32_t tenant(BlockId entry) const { return info(entry).tenant; }

 private:
  struct Info {
    double seconds = 0;   // cost to compute it again
    double worth = 0;     // the policy's key, as of its last release
    uint64_t stamp = 0;   // number of its last release
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
  double clock_ = 0;         // kGdsf: the highest worth evicted so far; the base of new worths
  uint64_t next_stamp_ = 0;  // grows with every release
  std::vector<Info> info_;   // [n_blocks]
  PairingHeaps heaps_;       // [n_tenants, {childless, others}]
  PairingHeaps expiring_;    // one heap: the entries whose retention ends, soonest first
};

}  // namespace lockstep
