// KvBlockIndex: which node holds which KV block: a table from the hash of a prefix to the set of
// nodes that have cached it. A hint for routing only: the nodes compare tokens. A node's blocks are
// in an index slot, a bit of each entry. A node has one slot, and a second one while it is loaded
// anew; a closed slot is invisible at once, is taken out of the entries by sweep(), and is free
// after that. Knows nothing of batches, epochs or sockets. One thread: the coordinator's I/O
// thread.
//
//   hash ── mixed with a secret ──▶ table (its low 8 bits) ──▶ place (its high bits) ──▶ slots
//
// The secret keeps clients, who may choose the hashes, from filling one part of a table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/hash64.h"
#include "coordinator/index/slot_table.h"

namespace lockstep {

enum class IndexSlot : uint8_t {};  // 0 … KvBlockIndex::kMaxSlots - 1

constexpr SlotMask mask(IndexSlot slot) { return SlotMask{1} << static_cast<unsigned>(slot); }

class KvBlockIndex {
 public:
  static constexpr size_t kMaxSlots = 64;
  static constexpr size_t kTables = 256;  // many, so that a resize or a sweep step is short

  explicit KvBlockIndex(uint64_t secret) : secret_(secret), tables_(kTables) {}

  // A slot without blocks, hidden from match(). nullopt: every slot is in use or still to be swept.
  std::optional<IndexSlot> open();
  // From now on match() finds the blocks of the slot.
  void show(IndexSlot slot) { shown_ |= mask(slot); }
  // Gives an open slot up. Its blocks are invisible at once.
  void close(IndexSlot slot);

  // False: nothing changed, because the slot has the block already, or does not have it.
  bool add(IndexSlot slot, uint64_t hash);
  bool remove(IndexSlot slot, uint64_t hash);
  bool contains(IndexSlot slot, uint64_t hash) const { return (slots_of(hash) & mask(slot)) != 0; }
  void prefetch(uint64_t hash) const {
    const uint64_t key = key_of(hash);
    table_of(key).prefetch(key);
  }

  // For each shown slot of `among` how many blocks of `chain` it holds, from the first on without a
  // gap; 0 for the others. Each hash of the chain is the parent of the next. Every slot must be
  // prefix-closed: with a block it holds the block's parent. Looks at about 2 · log2(chain) hashes
  // for the longest match, and at log2(chain) for each other length. With a `resolution` above 1
  // numbers may be too small by less than it: 64 different lengths of a long chain then cost half.
  using Matches = std::array<uint32_t, kMaxSlots>;  // [slot]
  Matches match(std::span<const uint64_t> chain, SlotMask among = ~SlotMask{0},
                uint32_t resolution = 1) const;

  // Takes closed slots out of the next `n_tables` tables. Each table takes time for all its places.
  void sweep(size_t n_tables);
  bool needs_sweep() const { return closed_ != 0; }

  size_t n_blocks(IndexSlot slot) const { return n_blocks_[static_cast<size_t>(slot)]; }
  size_t n_entries() const;  // of different blocks, those of slots to be swept included
  size_t n_bytes() const;

 private:
  uint64_t key_of(uint64_t hash) const { return mix64(hash ^ secret_); }
  const SlotTable& table_of(uint64_t key) const { return tables_[key % kTables]; }
  SlotTable& table_of(uint64_t key) { return tables_[key % kTables]; }
  SlotMask slots_of(uint64_t hash) const {
    const uint64_t key = key_of(hash);
    return table_of(key).find(key);
  }

  const uint64_t secret_;
  std::vector<SlotTable> tables_;  // [kTables]
  SlotMask open_ = 0;
  SlotMask shown_ = 0;
  SlotMask closed_ = 0;  // still to be swept
  std::array<size_t, kMaxSlots> n_blocks_{};
  std::array<size_t, kMaxSlots> n_tables_left_{};  // of a closed slot, to be swept
  size_t next_table_ = 0;
};

}  // namespace lockstep
