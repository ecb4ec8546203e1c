// AttentionLoops over any of the vector classes: docs/numerics.md section 4 for one AttentionRows.
// Queries (row, head) are multiplied with a tile four at a time, so that each loaded value of K or
// V serves four queries in registers. FloatKeys and WholeKeys do that for the two kinds of dtypes.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cpu/attention/attention_rows.h"
#include "kernels/cpu/attention/float_keys.h"
#include "kernels/cpu/attention/whole_keys.h"
#include "kernels/cpu/simd/simd_math.h"

namespace lockstep::simd {

// Turns the scores of visible keys [begin, end) into p = exp(s * scale - m), the others into +0.
template <class S>
inline void softmax_tile(float scale, int begin, int end, float* scores, float& m, float& l) {
  constexpr int kWidth = S::kWidth;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto lowest = S::set1(-kInfinity);
  auto largest = lowest;
  uint32_t nan_bits = 0;
  for (int key = 0; key < kTileKeys; key += kWidth) {
    const auto scaled = S::mul(S::load(scores + key), S::set1(scale));
    const auto s = S::select(S::mask(begin - key, end - key), scaled, lowest);
    nan_bits |= S::bits(S::is_nan(s));
    largest = S::max(s, largest);
    S::store(scores + key, s);
  }
  m = nan_bits != 0 ? std::numeric_limits<float>::quiet_NaN() : S::max_element(largest);
  const auto top = S::set1(m);
  l = strided_sum<S>(kTileKeys, [&](typename S::F lane, int64_t key, int64_t) {
    const auto visible = S::mask(begin - static_cast<int>(key), end - static_cast<int>(key));
    const auto e = exp<S>(S::sub(S::load(scores + key), top));
    const auto p = S::select(visible, e, S::set1(0.0f));
    S::store(scores + key, p);
    return S::add(lane, p);
  });
}

// Merges the result (next_m, next_l, next_o) of a run of keys into that of the keys before it.
template <class S>
inline void merge(float next_m, float next_l, const float* next_o, int dim, float& m, float& l,
                  float* o) {
  const bool any_nan = next_m != next_m || m != m;
  const float top = any_nan ? next_m + m : (m > next_m ? m : next_m);
  const auto a = exp<S>(S::set1(m - top));
  const auto b = exp<S>(S::set1(next_m - top));
  m = top;
  store_up_to<S>(&l, S::fma(S::set1(next_l), b, S::mul(S::set1(l), a)), 1);
  for (int d = 0; d < dim; d += S::kWidth) {
    S::store(o + d, S::fma(S::load(next_o + d), b, S::mul(S::load(o + d), a)));
  }
}

// Keys: FloatKeys or WholeKeys.
template <class S, class Keys>
class RowsAttention {
 public:
  explicit RowsAttention(const AttentionRows& rows)
      : rows_(rows),
        dim_(padded_dim(rows.kv.head_dim)),
        keys_(rows),
        scores_(rows.scratch + 2 * kTileKeys * dim_),
        tile_o_(scores_ + 4 * kTileKeys),
        span_(tile_o_ + 4 * dim_, dim_),
        whole_(span_.o + kMaxQueriesPerUnit * dim_, dim_) {}

  void attend_rows() {
    attend_tiles(0, std::numeric_limits<int64_t>::max());
    for (int query = 0; query < n_queries(); ++query) write_result(query);
  }

  void attend_tiles(int64_t begin_tile, int64_t end_tile) {
    int64_t first = first_key(0);
    int64_t last = rows_.positions[0];
    for (int row = 1; row < rows_.n_rows; ++row) {
      if (first_key(row) < first) first = first_key(row);
      if (rows_.positions[row] > last) last = rows_.positions[row];
    }
    if (begin_tile < first / kTileKeys) begin_tile = first / kTileKeys;
    if (end_tile > last / kTileKeys + 1) end_tile = last / kTileKeys + 1;
    for (int64_t tile = begin_tile; tile < end_tile; ++tile) {
      const int64_t begin = tile * kTileKeys;
      const int64_t end = begin + kTileKeys;
      keys_.fill(first > begin ? first : begin, last + 1 < end ? last + 1 : end);
      attend_tile(begin);
      __atomic_store_n(rows_.progress, *rows_.progress + 1, __ATOMIC_RELAXED);
    }
  }

  void merge_tiles() {
    for (int query = 0; query < n_queries(); ++query) {
      const int row = query / rows_.n_heads;
      const int64_t last = rows_.positions[row] / kTileKeys;
      for (int64_t tile = first_key(row) / kTileKeys; tile <= last; ++tile) {
        const float* partial = partial_of(query, tile);
        add_tile(query, tile * kTileKeys, partial[dim_], partial[dim_ + 1], partial);
      }
      write_result(query);
    }
  }

 private:
  static constexpr int kGroup = 4;

  int n_queries() const { return rows_.n_rows * rows_.n_heads; }
  int64_t first_key(int row) const {
    const int64_t first = rows_.positions[row] - rows_.window + 1;
    return rows_.window == 0 || first < 0 ? 0 : first;
  }

  // The keys of the tile that the query sees, counted from the tile's first key.
  KeyRange visible(int query, int64_t tile_begin) const {
    const int row = query / rows_.n_heads;
    const int64_t begin = first_key(row) - tile_begin;
    const int64_t end = rows_.positions[row] + 1 - tile_begin;
    return {static_cast<int>(begin < 0           ? 0
                             : begin > kTileKeys ? kTileKeys
                                                 : begin),
            static_cast<int>(end < 0           ? 0
                             : end > kTileKeys ? kTileKeys
                                               : end)};
  }

  void attend_tile(int64_t tile_begin) {
    for (int query = 0; query < n_queries(); query += kGroup) {
      switch (n_queries() - query) {
        case 1:
          attend_group<1>(query, tile_begin);
          break;
        case 2:
          attend_group<2>(query, tile_begin);
          break;
        case 3:
          attend_group<3>(query, tile_begin);
          break;
        default:
          attend_group<kGroup>(query, tile_begin);
      }
    }
  }

  template <int n>
  void attend_group(int first_query, int64_t tile_begin) {
    KeyRange seen[n];
    bool any = false;
    for (int i = 0; i < n; ++i) {
      seen[i] = visible(first_query + i, tile_begin);
      any = any || !seen[i].empty();
    }
    if (!any) return;
    keys_.template score<n>(first_query, scores_);
    float m[n];
    float l[n];
    for (int i = 0; i < n; ++i) {
      softmax_tile<S>(rows_.scale, seen[i].begin, seen[i].end, scores_ + i * kTileKeys, m[i], l[i]);
    }
    keys_.template weigh<n>(seen, scores_, tile_o_);
    for (int i = 0; i < n; ++i) {
      if (seen[i].empty()) continue;
      if (rows_.partials.data != nullptr) {
        keep(partial_of(first_query + i, tile_begin / kTileKeys), m[i], l[i], tile_o_ + i * dim_);
      } else {
        add_tile(first_query + i, tile_begin, m[i], l[i], tile_o_ + i * dim_);
      }
    }
  }

  float* partial_of(int query, int64_t tile) const {
    const TilePartials& partials = rows_.partials;
    return partials.data + query / rows_.n_heads * partials.row_stride +
           query % rows_.n_heads * partials.head_stride + (tile - partials.first_tile) * (dim_ + 2);
  }

  void keep(float* partial, float m, float l, const float* o) const {
    for (int d = 0; d < dim_; d += S::kWidth) S::store(partial + d, S::load(o + d));
    partial[dim_] = m;
    partial[dim_ + 1] = l;
  }

  // The results of a run of keys of every query: m [queries], l [queries], o [queries][dim].
  struct State {
    State(float* data, int dim)
        : m(data), l(m + kMaxQueriesPerUnit), o(l + kMaxQueriesPerUnit), dim(dim) {}

    void set(int query, float next_m, float next_l, const float* next_o) const {
      m[query] = next_m;
      l[query] = next_l;
      for (int d = 0; d < dim; d += S::kWidth) S::store(o + query * dim + d, S::load(next_o + d));
    }
    void add(int query, float next_m, float next_l, const float* next_o) const {
      merge<S>(next_m, next_l, next_o, dim, m[query], l[query], o + query * dim);
    }

    float* const m;
    float* const l;
    float* const o;
    const int dim;
  };

  // The first tile that a query sees in a span becomes the span's state, and the first span that
  // it sees becomes the query's.
  void add_tile(int query, int64_t tile_begin, float m, float l, const float* o) const {
    const int row = query / rows_.n_heads;
    const int64_t span_begin = tile_begin / kSpanKeys * kSpanKeys;
    const int64_t tile_end = tile_begin + kTileKeys;
    if (tile_begin == span_begin || tile_begin <= first_key(row)) {
      span_.set(query, m, l, o);
    } else {
      span_.add(query, m, l, o);
    }
    if (tile_end != span_begin + kSpanKeys && tile_end <= rows_.positions[row]) return;
    const float* span_o = span_.o + query * dim_;
    if (span_begin <= first_key(row)) {
      whole_.set(query, span_.m[query], span_.l[query], span_o);
    } else {
      whole_.add(query, span_.m[query], span_.l[query], span_o);
    }
  }

  void write_result(int query) const {
    const int head_dim = rows_.kv.head_dim;
    const auto inverse = S::set1(1.0f / whole_.l[query]);
    float* out =
        rows_.out + query / rows_.n_heads * rows_.out_stride + query % rows_.n_heads * head_dim;
    for (int d = 0; d < head_dim; d += S::kWidth) {
      const auto value = S::mul(S::load(whole_.o + query * dim_ + d), inverse);
      store_up_to<S>(out + d, value, head_dim - d);
    }
  }

  const AttentionRows& rows_;
  const int dim_;
  Keys keys_;
  float* const scores_;  // [4][64], then p
  float* const tile_o_;  // [4][dim]
  const State span_;     // of the span that the last tile is in
  const State whole_;    // of all spans before it
};

// Calls run(attention) with the RowsAttention for the dtype of the keys.
template <class S, class Run>
inline void with_keys(const AttentionRows& rows, const Run& run) {
  switch (rows.kv.type) {
    case KvType::kK16V8: {
      RowsAttention<S, WholeKeys<S, int8_t>> attention(rows);
      return run(attention);
    }
    case KvType::kK16V16: {
      RowsAttention<S, WholeKeys<S, int16_t>> attention(rows);
      return run(attention);
    }
    default: {
      RowsAttention<S, FloatKeys<S>> attention(rows);
      return run(attention);
    }
  }
}

// The loops of a vector class.
template <class S>
constexpr AttentionLoops attention_loops() {
  return {[](const AttentionRows& rows) {
            with_keys<S>(rows, [](auto& attention) { attention.attend_rows(); });
          },
          [](const AttentionRows& rows, int64_t begin, int64_t end) {
            with_keys<S>(rows, [&](auto& attention) { attention.attend_tiles(begin, end); });
          },
          [](const AttentionRows& rows) {
            with_keys<S>(rows, [](auto& attention) { attention.merge_tiles(); });
          }};
}

}  // namespace lockstep::simd
