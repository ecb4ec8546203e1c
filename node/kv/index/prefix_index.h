// PrefixIndex: which KV blocks hold which tokens. A trie of full blocks: an entry is found by a
// chained hash and decided by comparing its parent and its tokens, so a collision costs time and
// never a token. Knows ids, not bytes and not who uses them. Engine thread only.
//
//   root of a key ── [t0 … t15] ── [t16 … t31] ── …      an entry is named by its block in group 0
//                         └─────── [u16 … u31]
//
// Invariants (numbered as in docs/kv-cache.md and check_invariants()):
//   1. every entry but those under a root has a parent, one less deep; parent or root has it among
//      its children and counts it
//   2. every entry is found by its own parent and tokens, and by nothing else, among
//      kMaxInBucket
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/ids.h"
#include "node/kv/index/block_events.h"

namespace lockstep {

// What must be equal, beside the tokens, for two prefixes to be one. The model, its KV dtype and
// its RoPE settings are the node's own and the same for every request of this version.
struct PrefixKey {
  std::string salt;  // of the tenant; empty: none
  friend bool operator<(const PrefixKey& a, const PrefixKey& b) { return a.salt < b.salt; }
};

// The hash of a prefix that ends with a block: of the key, then block by block.
uint64_t prefix_hash(const PrefixKey& key);
uint64_t prefix_hash(uint64_t parent, std::span<const int32_t> block_tokens);

class PrefixIndex {
 public:
  // Blocks 0 … n_blocks - 1 of group 0. All memory but a key's is taken now.
  PrefixIndex(int32_t n_blocks, int32_t block_size, int n_groups);

  // One more who is told of every insert and remove from now on.
  void report_to(BlockEventSink& sink) { sinks_.push_back(&sink); }

  static constexpr BlockId kNone{-1};
  static constexpr int kMaxChildrenSeen = 64;
  // Nodes of one bucket. Hashes fill them evenly, with fewer than one each, unless somebody makes
  // prompts to meet in one: they are not secret, as coordinators compute them too.
  static constexpr int kMaxInBucket = 32;

  // The root of a key, or -1 if it has no entries. Good until the index changes.
  int32_t root_of(const PrefixKey& key) const;
  // The entry for these tokens after `parent` (kNone: at the root), or kNone.
  BlockId find(int32_t root, BlockId parent, uint64_t hash, std::span<const int32_t> tokens) const;
  // Among the entries after `parent` the one whose first tokens agree longest with `tokens`, at
  // least one; the newest of equals. Looks at the kMaxChildrenSeen newest only: a system prompt may
  // have thousands of children, and each that is looked at is a cache miss.
  struct Partial {
    BlockId entry = kNone;
    int32_t n_tokens = 0;
  };
  Partial find_partial(const PrefixKey& key, BlockId parent, std::span<const int32_t> tokens) const;
  // Whether an entry of this hash can be added: no lookup ever compares more than kMaxInBucket.
  bool has_room(uint64_t hash) const { return n_in_bucket(hash) < kMaxInBucket; }
  // Adds an entry that find() did not know, where there is room for it. blocks: [n_groups], the
  // node's own first.
  void insert(const PrefixKey& key, BlockId parent, uint64_t hash, std::span<const int32_t> tokens,
              std::span<const BlockId> blocks);
  // Forgets an entry without children.
  void remove(BlockId entry);

  bool contains(BlockId block) const { return entry(block).in_use; }
  bool has_children(BlockId block) const { return entry(block).first_child >= 0; }
  BlockId newest_child(BlockId block) const {
    return BlockId{entry(block).first_child};
  }  // or kNone
  BlockId parent(BlockId block) const { return entry(block).parent; }
  uint64_t hash(BlockId block) const { return entry(block).hash; }
  const PrefixKey& key(BlockId block) const { return entry(block).root->first; }
  uint64_t key_hash(BlockId block) const { return entry(block).root->second.hash; }
  int32_t depth(BlockId block) const { return entry(block).depth; }  // 1 under a root
  int32_t n_children(BlockId block) const { return entry(block).n_children; }
  std::span<const int32_t> tokens(BlockId block) const { return tokens_of(block); }
  int32_t n_blocks() const { return static_cast<int32_t>(entries_.size()); }
  int32_t block_size() const { return block_size_; }
  BlockId block_of_group(BlockId entry, int group) const;  // what the entry holds in that KV group
  int32_t n_entries() const { return n_entries_; }
  int32_t n_keys() const { return static_cast<int32_t>(roots_.size()); }

  // The number of the first invariant that does not hold, or 0. Walks every entry.
  int check_invariants() const;

 private:
  struct Root {
    int32_t id = 0;     // never used again
    uint64_t hash = 0;  // prefix_hash() of the key
    int32_t n_entries = 0;
    int32_t first_child = -1;
  };
  using Roots = std::map<PrefixKey, Root>;
  struct PrefixEntry {
    bool in_use = false;
    BlockId parent = kNone;
    int32_t depth = 0;
    int32_t n_children = 0;
    Roots::iterator root;
    uint64_t hash = 0;
    int32_t next_in_bucket = -1;
    int32_t first_child = -1;        // the newest
    int32_t newer = -1, older = -1;  // neighbours among the children of its parent
  };

  const PrefixEntry& entry(BlockId block) const {
    return entries_[static_cast<size_t>(raw(block))];
  }
  PrefixEntry& entry(BlockId block) { return entries_[static_cast<size_t>(raw(block))]; }
  std::span<const int32_t> tokens_of(BlockId block) const;
  int32_t& first_child(const PrefixEntry& child);  // of its parent or root
  int32_t n_listed_children() const;
  int n_in_bucket(uint64_t hash) const;
  size_t bucket_of(uint64_t hash) const { return hash & (buckets_.size() - 1); }
  bool is(BlockId block, int32_t root, BlockId parent, uint64_t hash,
          std::span<const int32_t> tokens) const;

  const int32_t block_size_;
  const int n_groups_;
  std::vector<PrefixEntry> entries_;   // [n_blocks]
  std::vector<int32_t> tokens_;        // [n_blocks, block_size]
  std::vector<BlockId> other_groups_;  // [n_blocks, n_groups - 1]
  std::vector<int32_t> buckets_;       // first entry of each, or -1
  Roots roots_;                        // of the keys that have entries
  int32_t next_root_ = 0;
  int32_t n_entries_ = 0;
  std::vector<BlockEventSink*> sinks_;
};

}  // namespace lockstep
