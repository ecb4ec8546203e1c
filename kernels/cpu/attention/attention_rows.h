// AttentionRows: the unit of work of attention on a CPU: some query heads that share one KV head,
// for adjacent rows of one sequence. Every 64-key tile of K and V is widened to f32 once and used
// by all of them. Plain data: the files of one instruction set see neither Views nor the team.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/attention/kv_type.h"

namespace lockstep {

inline constexpr int kTileKeys = 64;           // docs/numerics.md section 4
inline constexpr int kSpanKeys = 512;          // likewise
inline constexpr int kMaxQueriesPerUnit = 64;  // of n_rows * n_heads; bounds the scratch

// One KV head of one sequence.
struct KvHeadPages {
  const std::byte* k = nullptr;  // of block 0
  const std::byte* v = nullptr;
  const int32_t* blocks = nullptr;  // this sequence's row of the block table
  int64_t block_bytes = 0;
  int block_size = 0;
  int head_dim = 0;
  KvType type = KvType::kF16;
};

// The results of single tiles of keys, kept until all tiles are done and can be merged in order.
// The result of (row, head, tile) is o [padded_dim], m, l.
struct TilePartials {
  float* data = nullptr;   // result of the first row, head and tile
  int64_t row_stride = 0;  // floats
  int64_t head_stride = 0;
  int64_t first_tile = 0;
};

struct AttentionRows {
  KvHeadPages kv;
  const float* q = nullptr;  // [n_rows, n_heads, head_dim]
  int64_t q_stride = 0;      // floats from one row to the next
  float* out = nullptr;      // [n_rows, n_heads, head_dim]
  int64_t out_stride = 0;
  const int32_t* positions = nullptr;  // [n_rows]
  int n_rows = 0;
  int n_heads = 0;
  float scale = 1.0f;
  int64_t window = 0;            // 0 = all keys
  float* scratch = nullptr;      // attention_scratch_floats(head_dim)
  TilePartials partials;         // for attend_tiles and merge_tiles
  uint64_t* progress = nullptr;  // grows by 1 with every tile; other threads read it
};

// Keys of a tile, counted from its first one.
struct KeyRange {
  int begin = 0;
  int end = 0;
  bool empty() const { return begin >= end; }
  bool is_whole_tile() const { return begin == 0 && end == kTileKeys; }
};

// The query number `query` = row * n_heads + head.
inline const float* query_of(const AttentionRows& rows, int query) {
  return rows.q + query / rows.n_heads * rows.q_stride + query % rows.n_heads * rows.kv.head_dim;
}

// The width of V rows and outputs in scratch, which are padded to whole vectors.
constexpr int padded_dim(int head_dim) { return (head_dim + 15) / 16 * 16; }
constexpr int64_t partial_floats(int head_dim) { return padded_dim(head_dim) + 2; }

// The scratch of a unit: a tile of K, a tile of V, the scores and outputs of 4 queries, two states
// (m, l, o) of every query of the unit, and the K of one KV block in its own layout. Whole-number
// keys need half of a tile and keep their queries at the end (whole_keys.h).
constexpr int64_t attention_scratch_floats(int head_dim) {
  const int64_t dim = padded_dim(head_dim);
  return 2 * kTileKeys * dim + 4 * (kTileKeys + dim) + 2 * kMaxQueriesPerUnit * (dim + 2) +
         (kTileKeys + 2) * dim;
}

// The loops of one instruction set.
struct AttentionLoops {
  // Computes the whole unit: merges all its tiles into `out`.
  void (*attend_rows)(const AttentionRows& rows);
  // Computes the tiles [begin, end) of the unit into `partials`. A row has no result for tiles that
  // it does not see.
  void (*attend_tiles)(const AttentionRows& rows, int64_t begin, int64_t end);
  // Merges all partials of the unit, in order, into `out`.
  void (*merge_tiles)(const AttentionRows& rows);
};

extern const AttentionLoops kAttentionPortable;
extern const AttentionLoops kAttentionAvx2;
extern const AttentionLoops kAttentionAvx512;

}  // namespace lockstep
