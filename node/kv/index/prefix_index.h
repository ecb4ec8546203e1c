// PrefixIndex: which KV blocks hold which tokens: a trie (radix tree) of full blocks. A lookup
// finds a prefix entry by a chained hash and then compares parent and tokens, so a hash collision
// costs time and never gives a wrong token. Knows ids; knows nothing of bytes or references. Engine
// thread only.
//
//   root of a key ── [t0 … t15] ── [t16 … t31] ── …
//                         └─────── [u16 … u31]
//
// An entry is named by its block.
//
// Invariants (numbered as in docs/kv-cache.md and check_invariants()):
//   1. every entry but those under a root has a parent, whose depth is one less; the parent or root
//      has the entry among its children, and a parent counts its children
//   2. every entry is found by its own parent and tokens, and by nothing else, in a bucket of at
//      most kMaxInBucket entries
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/prefix_hash.h"
#include "node/kv/index/block_events.h"

namespace lockstep {

// What must be equal, beside the tokens, for two prefixes to share blocks. The model, its KV dtype
// and its RoPE settings are the node's, the same for every request, and so not part of the key.
struct PrefixKey {
  std::string salt;  // the request's cache_salt; empty: none
  friend bool operator<(const PrefixKey& a, const PrefixKey& b) { return a.salt < b.salt; }
};

// The hash that the chain of a key's blocks begins with.
inline uint64_t prefix_hash(const PrefixKey& key) {
  return prefix_hash(std::string_view(key.salt));
}

class PrefixIndex {
 public:
  // An index for blocks 0 … n_blocks - 1. All memory except the keys' is allocated now.
  PrefixIndex(int32_t n_blocks, int32_t block_size);

  // Adds a sink that receives every insert and remove from now on.
  void add_sink(BlockEventSink& sink) { sinks_.push_back(&sink); }

  static constexpr BlockId kNone{-1};
  static constexpr int kMaxChildrenSeen = 64;
  // The most entries in one bucket. Hashes fill the buckets evenly, with fewer than one entry each,
  // unless prompts are made to collide, which is possible: the hash has no secret, because
  // coordinators compute it too.
  static constexpr int kMaxInBucket = 32;

  // The root of a key, or -1 if the key has no entries. Valid until the index changes.
  int32_t root_of(const PrefixKey& key) const;
  // The entry for these tokens after `parent` (kNone: at the root); kNone if there is none.
  BlockId find(int32_t root, BlockId parent, uint64_t hash, std::span<const int32_t> tokens) const;
  // Finds the child of `parent` (kNone: of the root) that has the most leading tokens in common
  // with `tokens`, at least one; of equals the newest. Looks at the kMaxChildrenSeen newest
  // children only: a system prompt may have thousands of children, and reading each is a CPU cache
  // miss.
  struct Partial {
    BlockId entry = kNone;
    int32_t n_tokens = 0;
  };
  Partial find_partial(const PrefixKey& key, BlockId parent, std::span<const int32_t> tokens) const;
  // Whether the hash's bucket has room for one more entry, so that no lookup compares more than
  // kMaxInBucket entries.
  bool has_room(uint64_t hash) const { return n_in_bucket(hash) < kMaxInBucket; }
  // Adds an entry that find() does not find. CHECKs has_room().
  void insert(const PrefixKey& key, BlockId parent, uint64_t hash, std::span<const int32_t> tokens,
              BlockId entry);
  // Removes an entry, which must have no children.
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
  int32_t n_entries() const { return n_entries_; }
  int32_t n_keys() const { return static_cast<int32_t>(roots_.size()); }

  // The number of the first invariant that does not hold, or 0. Walks every entry.
  int check_invariants() const;

 private:
  struct Root {
    int32_t id = 0;     // unique; never reused
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
    int32_t first_child = -1;        // its newest child
    int32_t newer = -1, older = -1;  // neighbours in the list of its parent's children
  };

  const PrefixEntry& entry(BlockId block) const {
    return entries_[static_cast<size_t>(raw(block))];
  }
  PrefixEntry& entry(BlockId block) { return entries_[static_cast<size_t>(raw(block))]; }
  std::span<const int32_t> tokens_of(BlockId block) const;
  int32_t& first_child(const PrefixEntry& child);  // the list head in the child's parent or root
  int32_t n_listed_children() const;
  int n_in_bucket(uint64_t hash) const;
  size_t bucket_of(uint64_t hash) const { return hash & (buckets_.size() - 1); }
  bool is(BlockId block, int32_t root, BlockId parent, uint64_t hash,
          std::span<const int32_t> tokens) const;

  const int32_t block_size_;
  std::vector<PrefixEntry> entries_;  // [n_blocks]
  std::vector<int32_t> tokens_;       // [n_blocks, block_size]
  std::vector<int32_t> buckets_;      // first entry of each bucket, or -1
  Roots roots_;                       // one for each key that has entries
  int32_t next_root_ = 0;
  int32_t n_entries_ = 0;
  std::vector<BlockEventSink*> sinks_;
};

}  // namespace lockstep
