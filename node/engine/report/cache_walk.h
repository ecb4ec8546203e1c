// CacheWalk: reads the prefix index piece by piece, so that the engine thread, which owns it,
// spends a tenth of a millisecond on it between two turns however large the pool is. What it has
// read is plain data, for anybody to make a CacheReport of. The index changes between two pieces: a
// walk shows each block as it was when it was passed.
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

  // A block that requests have found, and so have those above it.
  struct Row {
    BlockId block{};
    BlockId parent{};
    int32_t depth = 0;  // 1 under a root
    int32_t n_children = 0;
    uint64_t hash = 0;
    uint64_t key_hash = 0;
    uint64_t n_hits = 0;
    Clock::TimePoint last_used;
    int32_t tokens_at = -1;  // in Piece::tokens; -1: deeper than was asked for
  };
  struct Piece {
    std::vector<uint64_t> key_hashes;  // of every block that can be found
    std::vector<Row> rows;
    std::vector<int32_t> tokens;  // [rows with tokens_at, block_size]
  };

  // Notes the tokens of blocks that begin before n_first_tokens.
  explicit CacheWalk(int32_t n_first_tokens) : n_first_tokens_(n_first_tokens) {}

  // Engine thread. Passes at most kBlocksPerStep blocks; true once it has passed all.
  bool step(const PrefixIndex& index, const CacheHistory& history);

  // Once all are passed; any thread.
  const std::vector<Piece>& pieces() const { return pieces_; }
  int32_t n_passed() const { return next_; }

 private:
  void pass(const PrefixIndex& index, const CacheHistory& history, BlockId block, Piece& piece);

  const int32_t n_first_tokens_;
  std::vector<Piece> pieces_;
  int32_t next_ = 0;
};

}  // namespace lockstep
