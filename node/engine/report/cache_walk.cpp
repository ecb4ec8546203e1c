#include "node/engine/report/cache_walk.h"

#include <algorithm>

#include "node/kv/index/prefix_index.h"
#include "node/kv/report/cache_history.h"

namespace lockstep {

bool CacheWalk::step(const PrefixIndex& index, const CacheHistory& history) {
  const int32_t end = std::min(index.n_blocks(), next_ + kBlocksPerStep);
  Piece& piece = pieces_.emplace_back();
  piece.key_hashes.reserve(static_cast<size_t>(end - next_));
  for (; next_ < end; ++next_) {
    if (index.contains(BlockId{next_})) pass(index, history, BlockId{next_}, piece);
  }
  return next_ == index.n_blocks();
}

void CacheWalk::pass(const PrefixIndex& index, const CacheHistory& history, BlockId block,
                     Piece& piece) {
  piece.key_hashes.push_back(index.key_hash(block));
  const CacheHistory::Use use = history.use_of(block, index.hash(block));
  if (use.n_hits == 0) return;
  Row& row = piece.rows.emplace_back();
  row.block = block;
  row.parent = index.parent(block);
  row.depth = index.depth(block);
  row.n_children = index.n_children(block);
  row.hash = index.hash(block);
  row.key_hash = index.key_hash(block);
  row.n_hits = use.n_hits;
  row.last_used = use.last;
  if ((row.depth - 1) * index.block_size() >= n_first_tokens_) return;
  row.tokens_at = static_cast<int32_t>(piece.tokens.size());
  const std::span<const int32_t> tokens = index.tokens(block);
  piece.tokens.insert(piece.tokens.end(), tokens.begin(), tokens.end());
}

}  // namespace lockstep
