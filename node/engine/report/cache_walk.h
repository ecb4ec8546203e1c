// CacheWalk: reads the prefix index in pieces, so that the engine thread, which owns the index,
// spends a tenth of a millisecond between two turns however large the pool is. The result is plain
// data, from which any thread can make a CacheReport. The index may change between two pieces; the
// walk records each block as it was when the walk passed it.
#pragma once

#include <cstdint>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"

namespace lockstep {

class CacheHistory;
class PrefixIndex;

class CacheWalk {
 public:
  static constexpr int32_t kBlocksPerStep = 8192;

  // A block that requests have reused; they reused its parents as well.
  struct Row {
    BlockId block{};
    BlockId parent{};
    int32_t depth = 0;  // 1 for the first block of a prefix
    int32_t n_children = 0;
    uint64_t hash = 0;
    uint64_t key_hash = 0;
    uint64_t n_hits = 0;
    Clock::TimePoint last_used;
    int32_t tokens_at = -1;  // index in Piece::tokens; -1 = the block is beyond n_first_tokens
  };
  struct Piece {
    std::vector<uint64_t> key_hashes;  // of every block in the index
    std::vector<Row> rows;
    std::vector<int32_t> tokens;  // [rows with tokens_at, block_size]
  };

  // The walk also records the tokens of blocks that begin before position n_first_tokens.
  explicit CacheWalk(int32_t n_first_tokens) : n_first_tokens_(n_first_tokens) {}

  // Engine thread. Passes at most kBlocksPerStep blocks; returns true once it has passed all.
  bool step(const PrefixIndex& index, const CacheHistory& history);

  // Any thread, once step() has returned true.
  const std::vector<Piece>& pieces() const { return pieces_; }
  int32_t n_passed() const { return next_; }

 private:
  void pass(const PrefixIndex& index, const CacheHistory& history, BlockId block, Piece& piece);

  const int32_t n_first_tokens_;
  std::vector<Piece> pieces_;
  int32_t next_ = 0;
};

}  // namespace lockstep
