#include "node/kv/index/prefix_index.h"

#include <algorithm>
#include <bit>

#include "common/check.h"

namespace lockstep {

PrefixIndex::PrefixIndex(int32_t n_blocks, int32_t block_size) : block_size_(block_size) {
  CHECK(n_blocks >= 0 && block_size > 0);
  const auto n = static_cast<size_t>(n_blocks);
  entries_.resize(n);
  tokens_.resize(n * static_cast<size_t>(block_size));
  buckets_.assign(std::bit_ceil(2 * n + 1), -1);
}

std::span<const int32_t> PrefixIndex::tokens_of(BlockId block) const {
  const auto size = static_cast<size_t>(block_size_);
  return std::span(tokens_).subspan(static_cast<size_t>(raw(block)) * size, size);
}

bool PrefixIndex::is(BlockId block, int32_t root, BlockId parent, uint64_t hash,
                     std::span<const int32_t> tokens) const {
  const PrefixEntry& n = entry(block);
  return n.hash == hash && n.parent == parent && n.root->second.id == root &&
         std::ranges::equal(tokens_of(block), tokens);
}

int32_t PrefixIndex::root_of(const PrefixKey& key) const {
  const auto root = roots_.find(key);
  return root == roots_.end() ? -1 : root->second.id;
}

BlockId PrefixIndex::find(int32_t root, BlockId parent, uint64_t hash,
                          std::span<const int32_t> tokens) const {
  for (int32_t i = buckets_[bucket_of(hash)]; i >= 0; i = entry(BlockId{i}).next_in_bucket) {
    if (is(BlockId{i}, root, parent, hash, tokens)) return BlockId{i};
  }
  return kNone;
}

int PrefixIndex::n_in_bucket(uint64_t hash) const {
  int n = 0;
  for (int32_t i = buckets_[bucket_of(hash)]; i >= 0; i = entry(BlockId{i}).next_in_bucket) ++n;
  return n;
}

PrefixIndex::Partial PrefixIndex::find_partial(const PrefixKey& key, BlockId parent,
                                               std::span<const int32_t> tokens) const {
  Partial best;
  const auto root = roots_.find(key);
  if (root == roots_.end()) return best;
  int32_t i = parent == kNone ? root->second.first_child : entry(parent).first_child;
  for (int n_seen = 0; i >= 0 && n_seen < kMaxChildrenSeen; i = entry(BlockId{i}).older, ++n_seen) {
    const std::span<const int32_t> theirs = tokens_of(BlockId{i});
    const auto differ = std::ranges::mismatch(theirs, tokens).in1;
    const auto n_equal = static_cast<int32_t>(differ - theirs.begin());
    if (n_equal > best.n_tokens) best = {BlockId{i}, n_equal};
  }
  return best;
}

void PrefixIndex::insert(const PrefixKey& key, BlockId parent, uint64_t hash,
                         std::span<const int32_t> tokens, BlockId id) {
  CHECK(static_cast<int32_t>(tokens.size()) == block_size_);
  CHECK(!contains(id) && (parent == kNone || contains(parent)));
  CHECK(has_room(hash));
  const auto [root, is_new] = roots_.try_emplace(key);
  if (is_new) root->second = {.id = next_root_++, .hash = prefix_hash(key)};
  ++root->second.n_entries;
  ++n_entries_;
  std::ranges::copy(tokens, tokens_.begin() + int64_t{raw(id)} * block_size_);
  PrefixEntry& added = entry(id);
  int32_t& first_in_bucket = buckets_[bucket_of(hash)];
  const int32_t depth = parent == kNone ? 1 : entry(parent).depth + 1;
  added = {.in_use = true,
           .parent = parent,
           .depth = depth,
           .root = root,
           .hash = hash,
           .next_in_bucket = first_in_bucket};
  if (parent != kNone) ++entry(parent).n_children;
  first_in_bucket = raw(id);
  int32_t& newest = first_child(added);
  added.older = newest;
  if (newest >= 0) entry(BlockId{newest}).newer = raw(id);
  newest = raw(id);
  for (BlockEventSink* sink : sinks_) {
    const auto above = parent == kNone ? std::nullopt : std::optional(entry(parent).hash);
    sink->stored({.hash = hash, .parent = above, .tokens = tokens, .salt = key.salt});
  }
}

int32_t& PrefixIndex::first_child(const PrefixEntry& child) {
  return child.parent == kNone ? child.root->second.first_child : entry(child.parent).first_child;
}

void PrefixIndex::remove(BlockId id) {
  PrefixEntry& removed = entry(id);
  CHECK(removed.in_use && !has_children(id));
  int32_t* link = &buckets_[bucket_of(removed.hash)];
  while (*link != raw(id)) link = &entry(BlockId{*link}).next_in_bucket;
  *link = removed.next_in_bucket;
  (removed.newer >= 0 ? entry(BlockId{removed.newer}).older : first_child(removed)) = removed.older;
  if (removed.older >= 0) entry(BlockId{removed.older}).newer = removed.newer;
  if (removed.parent != kNone) --entry(removed.parent).n_children;
  if (--removed.root->second.n_entries == 0) roots_.erase(removed.root);
  --n_entries_;
  for (BlockEventSink* sink : sinks_) sink->removed(removed.hash);
  removed = PrefixEntry();
}

int PrefixIndex::check_invariants() const {
  int32_t n_entries = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const PrefixEntry& n = entries_[i];
    if (!n.in_use) continue;
    ++n_entries;
    if (n.parent != kNone && (!contains(n.parent) || entry(n.parent).root != n.root)) return 1;
    if (n.depth != (n.parent == kNone ? 1 : entry(n.parent).depth + 1)) return 1;
    const BlockId id{static_cast<int32_t>(i)};
    if (find(n.root->second.id, n.parent, n.hash, tokens_of(id)) != id) return 2;
    if (n_in_bucket(n.hash) > kMaxInBucket) return 2;
  }
  if (n_entries != n_entries_) return 2;
  return n_listed_children() == n_entries ? 0 : 1;
}

// Counts the entries in all lists of children; -1 if a list is broken. Each listed entry must name
// the list's owner as its parent. An entry has one parent, so it is in at most one list, and a list
// that returned to one of its own entries would find that entry's `newer` wrong.
int32_t PrefixIndex::n_listed_children() const {
  int32_t n_listed = 0;
  // Returns how many children `parent` lists, or -1.
  const auto walk = [&](int32_t first, BlockId parent) {
    int32_t n = 0;
    for (int32_t i = first, newer = -1; i >= 0; newer = i, i = entry(BlockId{i}).older) {
      const PrefixEntry& child = entry(BlockId{i});
      if (!child.in_use || child.parent != parent || child.newer != newer) return -1;
      ++n;
    }
    n_listed += n;
    return n;
  };
  for (const auto& [key, root] : roots_) {
    if (walk(root.first_child, kNone) < 0) return -1;
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    const PrefixEntry& n = entries_[i];
    if (walk(n.first_child, BlockId{static_cast<int32_t>(i)}) != n.n_children) return -1;
  }
  return n_listed;
}

}  // namespace lockstep
