// EventNode: a node's prefix cache as its KV events show it: a tree of blocks, evicted childless
// blocks first, and what the node publishes: live batches, replays, snapshots, heartbeats.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/hash64.h"
#include "coordinator/index/kv_resync.h"
#include "tests/support/kv_event_bytes.h"

namespace lockstep::testing {

// The hash of the child number `choice` of a block: nodes that make the same choices share blocks.
inline uint64_t child_hash(std::optional<uint64_t> parent, int64_t choice) {
  return mix64(parent.value_or(0x9e3779b97f4a7c15) + static_cast<uint64_t>(choice) + 1);
}

class EventNode {
 public:
  struct Message {
    uint64_t seq = 0;
    std::string bytes;
    bool is_end = false;
    wire::KvEventMessage view() const {
      return {.topic = {}, .seq = seq, .batch = bytes, .is_end = is_end};
    }
  };

  EventNode(uint64_t epoch, size_t max_blocks, size_t n_kept)
      : epoch_(epoch), max_blocks_(max_blocks), n_kept_(n_kept) {}

  uint64_t epoch() const { return epoch_; }
  uint64_t seq() const { return next_; }
  uint64_t digest() const { return digest_; }
  size_t n_blocks() const { return blocks_.size(); }
  size_t max_blocks() const { return max_blocks_; }
  bool contains(uint64_t hash) const { return blocks_.contains(hash); }
  std::vector<uint64_t> hashes() const {
    std::vector<uint64_t> all;
    for (const auto& [hash, block] : blocks_) all.push_back(hash);
    return all;
  }
  // The hashes from the first block of the prefix to `hash`.
  std::vector<uint64_t> chain_to(uint64_t hash) const {
    std::vector<uint64_t> chain;
    for (std::optional<uint64_t> at = hash; at; at = blocks_.at(*at).parent) chain.push_back(*at);
    return {chain.rbegin(), chain.rend()};
  }

  // False: the block is there, or the pool is full.
  bool store(std::optional<uint64_t> parent, uint64_t hash) {
    if (contains(hash) || n_blocks() == max_blocks_) return false;
    if (parent) {
      Block& above = blocks_.at(*parent);
      if (above.n_children++ == 0) childless_.erase(*parent);
    }
    blocks_[hash] = {.parent = parent};
    childless_.insert(hash);
    digest_ += hash;
    const bool continues = !batch_.events.empty() && parent &&
                           batch_.events.back().kind == wire::KvEvent::Kind::kStored &&
                           batch_.hashes.back() == *parent;
    if (!continues) {
      add_stored(batch_, parent, {hash}, kBlockSize);
    } else {
      ++batch_.events.back().n_hashes;
      batch_.hashes.push_back(hash);
    }
    return true;
  }
  // Evicts a childless block at or after the hash `near`.
  void evict(uint64_t near) {
    auto victim = childless_.lower_bound(near);
    if (victim == childless_.end()) victim = childless_.begin();
    const uint64_t hash = *victim;
    childless_.erase(victim);
    const std::optional<uint64_t> parent = blocks_.at(hash).parent;
    blocks_.erase(hash);
    digest_ -= hash;
    if (parent && --blocks_.at(*parent).n_children == 0) childless_.insert(*parent);
    add_removed(batch_, {hash});
  }
  // A block at or after the hash `near`; nullopt: none.
  std::optional<uint64_t> any_childless(uint64_t near) const {
    if (childless_.empty()) return std::nullopt;
    const auto at = childless_.lower_bound(near);
    return at == childless_.end() ? *childless_.begin() : *at;
  }

  // The live batch of the events since the last call; nullopt: there are none.
  std::optional<Message> end_turn() {
    if (batch_.events.empty()) return std::nullopt;
    batch_.epoch = epoch_;
    kept_.push_back({next_++, encoded_kv_events(std::exchange(batch_, {}))});
    if (kept_.size() > n_kept_) kept_.pop_front();
    return kept_.back();
  }

  // The answer to a request, with its end.
  std::vector<Message> answer(const KvRequest& request, size_t blocks_per_page = 64) const {
    std::vector<Message> messages;
    if (request.kind == KvRequest::Kind::kSnapshot) {
      messages = snapshot(blocks_per_page);
    } else {
      for (const Message& batch : kept_) {
        if (batch.seq >= request.first) messages.push_back(batch);
      }
    }
    messages.push_back({wire::kKvEnd, "", true});
    return messages;
  }

 private:
  static constexpr int64_t kBlockSize = 2;
  struct Block {
    std::optional<uint64_t> parent;
    int n_children = 0;
  };

  std::vector<Message> snapshot(size_t blocks_per_page) const {
    std::unordered_map<uint64_t, std::vector<uint64_t>> children;
    std::vector<std::pair<std::optional<uint64_t>, uint64_t>> open;
    for (const auto& [hash, block] : blocks_) {
      block.parent ? children[*block.parent].push_back(hash) : open.push_back({{}, hash});
    }
    std::vector<Message> pages;
    wire::KvEventBatch page{.unix_seconds = 0, .epoch = epoch_, .events = {}, .hashes = {}};
    add_cleared(page);
    while (!open.empty()) {
      const auto [parent, hash] = open.back();
      open.pop_back();
      add_stored(page, parent, {hash}, kBlockSize);
      for (uint64_t child : children[hash]) open.push_back({hash, child});
      if (page.hashes.size() < blocks_per_page) continue;
      pages.push_back({next_, encoded_kv_events(page)});
      page.events.clear();
      page.hashes.clear();
    }
    if (pages.empty() || !page.events.empty()) pages.push_back({next_, encoded_kv_events(page)});
    return pages;
  }

  const uint64_t epoch_;
  const size_t max_blocks_, n_kept_;
  std::unordered_map<uint64_t, Block> blocks_;  // resident, events not yet published included
  std::set<uint64_t> childless_;
  uint64_t digest_ = 0, next_ = 0;
  wire::KvEventBatch batch_;
  std::deque<Message> kept_;
};

}  // namespace lockstep::testing
