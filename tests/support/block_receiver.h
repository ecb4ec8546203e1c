// BlockReceiver: follows a node's KV events as a router would, and checks their consistency: every
// gap is detected, and parents are stored before and removed after their children. One thread at a
// time.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "node/kv/report/resident_blocks.h"

namespace lockstep::testing {

class BlockReceiver {
 public:
  struct Block {
    std::optional<uint64_t> parent;
    std::vector<int32_t> tokens;
    std::string salt;
    int n_children = 0;
    bool operator==(const Block&) const = default;
  };

  explicit BlockReceiver(size_t block_size) : block_size_(block_size) {}

  // Returns false, and changes nothing, if batches before this one are missing.
  bool apply(const BlockEventBatch& batch) {
    if (batch.seq != next_seq_) return false;
    ++next_seq_;
    for (const BlockEvent& event : batch.events) apply(event);
    return true;
  }
  void heal(const ResidentBlocks& snapshot, size_t n_blocks_per_piece) {
    blocks_.clear();
    digest_ = 0;
    for (const auto& piece : stored_events(snapshot, n_blocks_per_piece)) {
      size_t n_blocks = 0;
      for (const BlockEvent& event : piece) {
        n_blocks += event.hashes.size();
        apply(event);
      }
      EXPECT_LE(n_blocks, n_blocks_per_piece);
    }
    next_seq_ = snapshot.state.n_batches;
    EXPECT_EQ(digest_, snapshot.state.digest);
  }

  uint64_t next_seq() const { return next_seq_; }
  uint64_t digest() const { return digest_; }
  const std::map<uint64_t, Block>& blocks() const { return blocks_; }

 private:
  void apply(const BlockEvent& event) {
    ASSERT_FALSE(event.hashes.empty());
    if (event.kind == BlockEvent::Kind::kStored) {
      ASSERT_EQ(event.tokens.size(), event.hashes.size() * block_size_);
      std::optional<uint64_t> parent = event.parent;
      for (size_t i = 0; i < event.hashes.size(); ++i) {
        const auto first = event.tokens.begin() + static_cast<int64_t>(i * block_size_);
        store(event.hashes[i],
              {parent, {first, first + static_cast<int64_t>(block_size_)}, event.salt});
        parent = event.hashes[i];
      }
    } else {
      for (uint64_t hash : event.hashes) remove(hash);
    }
  }
  void store(uint64_t hash, Block block) {
    if (block.parent) {
      ASSERT_TRUE(blocks_.contains(*block.parent)) << "stored before its parent";
      ++blocks_.at(*block.parent).n_children;
    }
    ASSERT_TRUE(blocks_.emplace(hash, std::move(block)).second) << "stored twice";
    digest_ += hash;
  }
  void remove(uint64_t hash) {
    const auto found = blocks_.find(hash);
    ASSERT_NE(found, blocks_.end()) << "removed, but was not there";
    ASSERT_EQ(found->second.n_children, 0) << "removed before its children";
    if (found->second.parent) --blocks_.at(*found->second.parent).n_children;
    blocks_.erase(found);
    digest_ -= hash;
  }

  const size_t block_size_;
  uint64_t next_seq_ = 0;
  uint64_t digest_ = 0;
  std::map<uint64_t, Block> blocks_;
};

// The state that a receiver of all events should have.
inline std::map<uint64_t, BlockReceiver::Block> resident_blocks(const PrefixIndex& index) {
  std::map<uint64_t, BlockReceiver::Block> out;
  for (int32_t i = 0; i < index.n_blocks(); ++i) {
    const BlockId entry{i};
    if (!index.contains(entry)) continue;
    BlockReceiver::Block& block = out[index.hash(entry)];
    const std::span<const int32_t> tokens = index.tokens(entry);
    block.tokens.assign(tokens.begin(), tokens.end());
    block.salt = index.key(entry).salt;
    if (const BlockId parent = index.parent(entry); parent != PrefixIndex::kNone) {
      block.parent = index.hash(parent);
      ++out[*block.parent].n_children;
    }
  }
  return out;
}

}  // namespace lockstep::testing
