#include "coordinator/index/kv_block_index.h"

#include <algorithm>
#include <bit>

#include "common/check.h"

namespace lockstep {

std::optional<IndexSlot> KvBlockIndex::open() {
  const auto slot = static_cast<size_t>(std::countr_one(open_ | closed_));
  if (slot == kMaxSlots) return std::nullopt;
  open_ |= mask(IndexSlot{static_cast<uint8_t>(slot)});
  n_blocks_[slot] = 0;
  return IndexSlot{static_cast<uint8_t>(slot)};
}

void KvBlockIndex::close(IndexSlot slot) {
  CHECK((open_ & mask(slot)) != 0);
  open_ &= ~mask(slot);
  shown_ &= ~mask(slot);
  if (n_blocks(slot) == 0) return;  // no entry has it
  closed_ |= mask(slot);
  n_tables_left_[static_cast<size_t>(slot)] = kTables;
}

bool KvBlockIndex::add(IndexSlot slot, uint64_t hash) {
  CHECK((open_ & mask(slot)) != 0);
  const uint64_t key = key_of(hash);
  if (!table_of(key).insert(key, mask(slot))) return false;
  ++n_blocks_[static_cast<size_t>(slot)];
  return true;
}

bool KvBlockIndex::remove(IndexSlot slot, uint64_t hash) {
  CHECK((open_ & mask(slot)) != 0);
  const uint64_t key = key_of(hash);
  if (!table_of(key).erase(key, mask(slot))) return false;
  --n_blocks_[static_cast<size_t>(slot)];
  return true;
}

namespace {

// Slots that hold the first `low` blocks of a chain and not the block after the first `high`.
struct SearchRange {
  uint32_t low, high;
  SlotMask slots;

  // The block to look at next: twice as far as is known, at most in the middle.
  uint32_t probe() const { return std::min(low + (high - low) / 2, 2 * low); }
};

}  // namespace

// Galloping and binary search for all slots at once. Every slot is in exactly one range, so there
// are at most kMaxSlots ranges. Each round halves them all; its hashes are prefetched together, so
// that the CPU waits for memory once a round and not once a hash.
KvBlockIndex::Matches KvBlockIndex::match(std::span<const uint64_t> chain, SlotMask among,
                                          uint32_t resolution) const {
  CHECK(resolution > 0);
  Matches matches{};
  std::array<std::array<SearchRange, kMaxSlots>, 2> rounds;  // this one and the next
  std::array<size_t, 2> n_ranges{};
  const auto keep = [&](size_t round, const SearchRange& range) {
    if (range.slots == 0) return;
    if (range.high - range.low >= resolution) {
      rounds[round][n_ranges[round]++] = range;
      return;
    }
    for (SlotMask left = range.slots; left != 0; left &= left - 1) {
      matches[static_cast<size_t>(std::countr_zero(left))] = range.low;
    }
  };
  keep(0, {0, static_cast<uint32_t>(chain.size()), shown_ & among});
  for (size_t round = 0; n_ranges[round] > 0; round ^= 1) {
    const std::span<const SearchRange> ranges(rounds[round].data(), n_ranges[round]);
    for (const SearchRange& range : ranges) prefetch(chain[range.probe()]);
    for (const SearchRange& range : ranges) {
      const uint32_t probe = range.probe();
      const SlotMask holders = slots_of(chain[probe]) & range.slots;
      keep(round ^ 1, {probe + 1, range.high, holders});
      keep(round ^ 1, {range.low, probe, range.slots & ~holders});
    }
    n_ranges[round] = 0;
  }
  return matches;
}

void KvBlockIndex::sweep(size_t n_tables) {
  for (; n_tables > 0 && closed_ != 0; --n_tables) {
    tables_[next_table_].erase_all(closed_);
    next_table_ = (next_table_ + 1) % kTables;
    for (SlotMask left = closed_; left != 0; left &= left - 1) {
      const auto slot = static_cast<size_t>(std::countr_zero(left));
      if (--n_tables_left_[slot] == 0) closed_ &= ~mask(IndexSlot{static_cast<uint8_t>(slot)});
    }
  }
}

size_t KvBlockIndex::n_entries() const {
  size_t n = 0;
  for (const SlotTable& table : tables_) n += table.n_entries();
  return n;
}

size_t KvBlockIndex::n_bytes() const {
  size_t n = sizeof(*this) + tables_.capacity() * sizeof(SlotTable);
  for (const SlotTable& table : tables_) n += table.n_bytes();
  return n;
}

}  // namespace lockstep
