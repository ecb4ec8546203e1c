// SlotTable: an open-addressing table from the key of a KV block to the set of index slots that
// hold the block. Linear probing; a removal moves later entries back, so there are no tombstones.
// The table has any number of places, not only powers of two, and is resized when less than 52 % or
// more than 80 % of them are in use: an entry takes 20 to 31 bytes. KvBlockIndex owns many of them.
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lockstep {

using SlotMask = uint64_t;  // a set of index slots

class SlotTable {
 public:
  // Keys must be spread evenly over all 64 bits. The slots that hold `key`; 0: none.
  SlotMask find(uint64_t key) const;
  // False: nothing changed, because all of `slots` (which are not 0) hold the key already.
  bool insert(uint64_t key, SlotMask slots);
  // False: nothing changed, because none of `slots` holds the key.
  bool erase(uint64_t key, SlotMask slots);
  // Removes `slots` from every entry. Takes time for every place of the table.
  void erase_all(SlotMask slots);
  // Loads the place of `key` into the CPU cache.
  void prefetch(uint64_t key) const {
    if (!places_.empty()) __builtin_prefetch(&places_[home(key)]);
  }

  size_t n_entries() const { return n_entries_; }
  size_t n_bytes() const { return places_.capacity() * sizeof(Place); }

 private:
  struct Place {
    uint64_t key = 0;
    SlotMask slots = 0;  // 0: the place is free
  };

  size_t home(uint64_t key) const {
    return static_cast<size_t>(static_cast<unsigned __int128>(key) * places_.size() >> 64);
  }
  size_t after(size_t i) const { return i + 1 == places_.size() ? 0 : i + 1; }
  // How many places `to` is after `from`, around the end.
  size_t distance(size_t from, size_t to) const {
    return to >= from ? to - from : to + places_.size() - from;
  }
  // The place of `key`, or the free place where it would be. Needs a free place.
  size_t place_of(uint64_t key) const;
  void free_place(size_t hole);
  void resize(size_t n_places);
  void shrink_if_sparse();

  std::vector<Place> places_;  // at least one is free, unless there are none
  size_t n_entries_ = 0;
};

}  // namespace lockstep
