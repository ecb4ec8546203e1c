// IdMap: 64-bit keys to ids, in one flat table. A lookup usually touches one cache line. Grows
// while it is filled; immutable after that, any thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "common/hash64.h"

namespace lockstep {

class IdMap {
 public:
  static constexpr int32_t kNone = -1;

  IdMap() : slots_(kMinSlots) {}

  // Sets the id of a key, which must not be negative.
  void set(uint64_t key, int32_t id) {
    if (2 * (n_keys_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[slot_of(key)];
    if (slot.id == kNone) ++n_keys_;
    slot = {key, id};
  }
  int32_t find(uint64_t key) const { return slots_[slot_of(key)].id; }  // kNone = not there
  size_t size() const { return n_keys_; }

 private:
  static constexpr size_t kMinSlots = 16;  // a power of two
  struct Slot {
    uint64_t key = 0;
    int32_t id = kNone;  // kNone = a free slot
  };

  // The slot that holds the key, or the free one where it belongs.
  size_t slot_of(uint64_t key) const {
    size_t slot = mix64(key) & (slots_.size() - 1);
    while (slots_[slot].id != kNone && slots_[slot].key != key) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
  }
  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.id != kNone) slots_[slot_of(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;  // at least half of them free
  size_t n_keys_ = 0;
};

}  // namespace lockstep
