// KvTile: the K and V of 64 keys of one KV head, widened to f32 in scratch.
//   k [head_dim][64]   v [64][padded_dim]
// Outside the wanted keys, K has arbitrary values, which the caller must mask, and V has rows of an
// earlier tile, which the caller must not read.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/attention_rows.h"
#include "kernels/cpu/simd/simd_math.h"

namespace lockstep::simd {

// Widens one vector of stored values to f32. The scale of q8_0 values is applied later.
template <class S>
struct F32Source {
  using T = float;
  static typename S::F load(const T* p) { return S::load(p); }
};
template <class S>
struct F16Source {
  using T = uint16_t;
  static typename S::F load(const T* p) { return S::load_f16(p); }
};
template <class S>
struct BF16Source {
  using T = uint16_t;
  static typename S::F load(const T* p) { return S::load_bf16(p); }
};
template <class S>
struct I8Source {
  using T = int8_t;
  static typename S::F load(const T* p) { return S::load_i8(p); }
};

// Widens n adjacent values and reads no byte beyond them.
template <class S, class Source>
inline void widen(const typename Source::T* from, int n, float* to) {
  int i = 0;
  for (; i + S::kWidth <= n; i += S::kWidth) S::store(to + i, Source::load(from + i));
  if (i == n) return;
  typename Source::T rest[S::kWidth] = {};
  for (int j = 0; i + j < n; ++j) rest[j] = from[i + j];
  S::store_n(to + i, Source::load(rest), n - i);
}

template <class S>
class KvTile {
 public:
  KvTile(const KvHeadPages& kv, float* k, float* v, float* page_rows)
      : kv_(kv), dim_(padded_dim(kv.head_dim)), k_(k), v_(v), page_rows_(page_rows) {
    for (int key = 0; key < kTileKeys; ++key) {
      for (int d = kv.head_dim; d < dim_; ++d) v_[key * dim_ + d] = 0.0f;
    }
  }

  // Loads the keys [begin, end), which must be of one tile.
  void fill(int64_t begin, int64_t end) {
    switch (kv_.type) {
      case KvType::kF32:
        return fill_from<F32Source<S>>(begin, end);
      case KvType::kF16:
        return fill_from<F16Source<S>>(begin, end);
      case KvType::kBF16:
        return fill_from<BF16Source<S>>(begin, end);
      case KvType::kQ8_0:
        return fill_from<I8Source<S>>(begin, end);
      case KvType::kK16V8:
      case KvType::kK16V16:
        break;  // WholeKeys loads these
    }
  }

  const float* k() const { return k_; }
  const float* v() const { return v_; }

 private:
  template <class Source>
  void fill_from(int64_t begin, int64_t end) {
    const int64_t tile_begin = begin / kTileKeys * kTileKeys;
    const int64_t size = kv_.block_size;
    for (int64_t block = begin / size; block * size < end; ++block) {
      const int64_t page = kv_.blocks[block] * kv_.block_bytes;
      // K: all keys of the block that lie in the tile, wanted or not, to move whole vectors.
      const int64_t first = block * size > tile_begin ? block * size : tile_begin;
      const int64_t tile_end = tile_begin + kTileKeys;
      const int64_t last = (block + 1) * size < tile_end ? (block + 1) * size : tile_end;
      k_slots<Source>(kv_.k + page, static_cast<int>(first - block * size),
                      static_cast<int>(last - first), k_ + (first - tile_begin));
      // V: the wanted keys only.
      const int64_t from = begin > first ? begin : first;
      const int64_t to = end < last ? end : last;
      for (int64_t key = from; key < to; ++key) {
        v_row<Source>(kv_.v + page, static_cast<int>(key - block * size),
                      v_ + (key - tile_begin) * dim_);
      }
    }
  }

  // Widens n keys of every dim, from offset `offset` in the KV block on.
  template <class Source>
  void k_slots(const std::byte* page, int offset, int n, float* to) {
    const auto* values = reinterpret_cast<const typename Source::T*>(page);
    const int size = kv_.block_size;
    if (n % S::kWidth == 0) {
      for (int d = 0; d < kv_.head_dim; ++d) {
        widen<S, Source>(values + d * size + offset, n, to + d * kTileKeys);
      }
    } else if (size <= kTileKeys) {  // short rows: widened end to end, then copied
      widen<S, Source>(values, kv_.head_dim * size, page_rows_);
      for (int d = 0; d < kv_.head_dim; ++d) {
        for (int i = 0; i < n; ++i) to[d * kTileKeys + i] = page_rows_[d * size + offset + i];
      }
    } else {
      for (int d = 0; d < kv_.head_dim; ++d) {
        widen<S, Source>(values + d * size + offset, n, to + d * kTileKeys);
      }
    }
    if (kv_.type == KvType::kQ8_0) scale_k(page, offset, n, to);
  }

  void scale_k(const std::byte* page, int offset, int n, float* to) {
    const int size = kv_.block_size;
    const auto* scales = reinterpret_cast<const uint16_t*>(page + kv_.head_dim * size);
    for (int d = 0; d < kv_.head_dim; ++d) {
      float* row = to + d * kTileKeys;
      if (d % 32 == 0) widen<S, F16Source<S>>(scales + d / 32 * size + offset, n, page_rows_);
      int i = 0;
      for (; i + S::kWidth <= n; i += S::kWidth) {
        S::store(row + i, S::mul(S::load(page_rows_ + i), S::load(row + i)));
      }
      for (; i < n; ++i) row[i] = page_rows_[i] * row[i];
    }
  }

  template <class Source>
  void v_row(const std::byte* page, int slot, float* to) {
    const auto* values = reinterpret_cast<const typename Source::T*>(page);
    widen<S, Source>(values + slot * kv_.head_dim, kv_.head_dim, to);
    if (kv_.type != KvType::kQ8_0) return;
    const int n_scales = kv_.head_dim / 32;
    const auto* scales = reinterpret_cast<const uint16_t*>(page + kv_.head_dim * kv_.block_size);
    widen<S, F16Source<S>>(scales + slot * n_scales, n_scales, page_rows_);
    for (int d = 0; d < kv_.head_dim; d += S::kWidth) {
      S::store(to + d, S::mul(S::set1(page_rows_[d / 32]), S::load(to + d)));
    }
  }

  const KvHeadPages& kv_;
  const int dim_;
  float* const k_;
  float* const v_;
  float* const page_rows_;  // K of one KV block, [head_dim][block_size], for block_size <= 64
};

}  // namespace lockstep::simd
