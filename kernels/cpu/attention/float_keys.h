// FloatKeys: multiplies queries with a tile of f32, f16, bf16 or q8_0 keys and values, which are
// widened to f32 first: fused multiply-add chains (docs/numerics.md section 4).
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/attention_rows.h"
#include "kernels/cpu/attention/kv_tile.h"

namespace lockstep::simd {

// scores[i][key] = sum over d of q[i][d] * k[d][key], for n_queries queries and 64 keys.
template <class S, int n_queries>
inline void score_keys(const float* const* q, const float* k, int head_dim, float* scores) {
  constexpr int kVecs = S::kTileVecs;
  for (int key = 0; key < kTileKeys; key += kVecs * S::kWidth) {
    typename S::F sum[n_queries][kVecs];
    for (auto& row : sum) {
      for (auto& v : row) v = S::set1(0.0f);
    }
    for (int d = 0; d < head_dim; ++d) {
      typename S::F keys[kVecs];
      for (int v = 0; v < kVecs; ++v) keys[v] = S::load(k + d * kTileKeys + key + v * S::kWidth);
      for (int i = 0; i < n_queries; ++i) {
        const auto value = S::set1(q[i][d]);
        for (int v = 0; v < kVecs; ++v) sum[i][v] = S::fma(value, keys[v], sum[i][v]);
      }
    }
    for (int i = 0; i < n_queries; ++i) {
      for (int v = 0; v < kVecs; ++v) {
        S::store(scores + i * kTileKeys + key + v * S::kWidth, sum[i][v]);
      }
    }
  }
}

// o[i][d] = fma(p[i][key], v[key][d], o[i][d]) for keys [begin, end), ascending, n_vecs vectors.
template <class S, int n_queries, int n_vecs>
inline void add_values_at(const float* p, const float* v, int begin, int end, int dim, float* o) {
  typename S::F sum[n_queries][n_vecs];
  for (int i = 0; i < n_queries; ++i) {
    for (int j = 0; j < n_vecs; ++j) sum[i][j] = S::load(o + i * dim + j * S::kWidth);
  }
  for (int key = begin; key < end; ++key) {
    typename S::F values[n_vecs];
    for (int j = 0; j < n_vecs; ++j) values[j] = S::load(v + key * dim + j * S::kWidth);
    for (int i = 0; i < n_queries; ++i) {
      const auto weight = S::set1(p[i * kTileKeys + key]);
      for (int j = 0; j < n_vecs; ++j) sum[i][j] = S::fma(weight, values[j], sum[i][j]);
    }
  }
  for (int i = 0; i < n_queries; ++i) {
    for (int j = 0; j < n_vecs; ++j) S::store(o + i * dim + j * S::kWidth, sum[i][j]);
  }
}

template <class S, int n_queries>
inline void add_values(const float* p, const float* v, int begin, int end, int dim, float* o) {
  constexpr int kStep = S::kTileVecs * S::kWidth;
  if (begin >= end) return;
  int d = 0;
  for (; d + kStep <= dim; d += kStep) {
    add_values_at<S, n_queries, S::kTileVecs>(p, v + d, begin, end, dim, o + d);
  }
  for (; d < dim; d += S::kWidth) {
    add_values_at<S, n_queries, 1>(p, v + d, begin, end, dim, o + d);
  }
}

template <class S>
class FloatKeys {
 public:
  explicit FloatKeys(const AttentionRows& rows)
      : rows_(rows),
        dim_(padded_dim(rows.kv.head_dim)),
        tile_(rows.kv, rows.scratch, rows.scratch + kTileKeys * dim_, end_of_scratch(rows)) {}

  // Loads the keys [begin, end), which must be of one tile.
  void fill(int64_t begin, int64_t end) { tile_.fill(begin, end); }

  // scores [n][64]: the products of n queries with the keys of the tile, before the scale.
  template <int n>
  void score(int first_query, float* scores) const {
    const float* q[n];
    for (int i = 0; i < n; ++i) q[i] = query_of(rows_, first_query + i);
    score_keys<S, n>(q, tile_.k(), rows_.kv.head_dim, scores);
  }

  // o [n][dim]: the values under the weights p [n][64], whose masked ones are +0. The chain of a
  // query takes the query's own keys in ascending order: first the keys before those that all
  // queries see, then the common ones (four queries at a time), then the keys after them.
  template <int n>
  void weigh(const KeyRange* seen, const float* p, float* o) const {
    KeyRange common{0, kTileKeys};
    for (int i = 0; i < n; ++i) {
      if (seen[i].begin > common.begin) common.begin = seen[i].begin;
      if (seen[i].end < common.end) common.end = seen[i].end;
    }
    const float* v = tile_.v();
    for (int d = 0; d < n * dim_; d += S::kWidth) S::store(o + d, S::set1(0.0f));
    for (int i = 0; i < n; ++i) {
      const int end = common.empty() ? seen[i].end : common.begin;
      add_values<S, 1>(p + i * kTileKeys, v, seen[i].begin, end, dim_, o + i * dim_);
    }
    if (common.empty()) return;
    add_values<S, n>(p, v, common.begin, common.end, dim_, o);
    for (int i = 0; i < n; ++i) {
      add_values<S, 1>(p + i * kTileKeys, v, common.end, seen[i].end, dim_, o + i * dim_);
    }
  }

 private:
  // K of one KV block in its own layout takes the end of the scratch.
  static float* end_of_scratch(const AttentionRows& rows) {
    return rows.scratch + attention_scratch_floats(rows.kv.head_dim) -
           (kTileKeys + 2) * padded_dim(rows.kv.head_dim);
  }

  const AttentionRows& rows_;
  const int dim_;
  KvTile<S> tile_;
};

}  // namespace lockstep::simd
