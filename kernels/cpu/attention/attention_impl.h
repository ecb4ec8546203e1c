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

// Turns the scores of visible keys [seen.begin, seen.end) into p = exp(s * scale - m), the others
// into +0. whole: all keys of the tile are visible.
template <class S, bool whole>
inline void softmax_tile(float scale, const KeyRange& seen, float* scores, float& m, float& l) {
  constexpr int kWidth = S::kWidth;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto or_else = [&](int64_t key, typename S::F value, float masked) {
    if constexpr (whole) return value;
    const int at = static_cast<int>(key);
    return S::select(S::mask(seen.begin - at, seen.end - at), value, S::set1(masked));
  };
  auto largest = S::set1(-kInfinity);
  auto nan = S::mask(0, 0);
  for (int key = 0; key < kTileKeys; key += kWidth) {
    const auto s = or_else(key, S::mul(S::load(scores + key), S::set1(scale)), -kInfinity);
    nan = S::either(nan, S::is_nan(s));
    largest = S::max(s, largest);
    S::store(scores + key, s);
  }
  m = S::bits(nan) != 0 ? std::numeric_limits<float>::quiet_NaN() : S::max_element(largest);
  const auto top = S::set1(m);
  l = chunk_sum<S>(0, kTileKeys, [&](typename S::F lane, int64_t key, int64_t) {
    const auto p = or_else(key, exp_up_to_88<S>(S::sub(S::load(scores + key), top)), 0.0f);
    S::store(scores + key, p);
    return S::add(lane, p);
  });
}

// How n states and the runs of keys after them merge: both get the largest score of both, and the
// factors of what the state and the run have summed.
template <int n>
struct MergeFactors {
  float m[n];
  float of_state[n];
  float of_next[n];

  template <class S>
  void set(const float* state_m, const float* next_m) {
    constexpr int kSlots = (2 * n + 15) / 16 * 16;
    float x[kSlots] = {};
    for (int i = 0; i < n; ++i) {
      const bool any_nan = next_m[i] != next_m[i] || state_m[i] != state_m[i];
      m[i] = any_nan ? next_m[i] + state_m[i] : next_m[i] > state_m[i] ? next_m[i] : state_m[i];
      x[2 * i] = state_m[i] - m[i];
      x[2 * i + 1] = next_m[i] - m[i];
    }
    for (int i = 0; i < 2 * n; i += S::kWidth) S::store(x + i, exp_up_to_88<S>(S::load(x + i)));
    for (int i = 0; i < n; ++i) {
      of_state[i] = x[2 * i];
      of_next[i] = x[2 * i + 1];
    }
  }
};

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
        whole_(span_.o + kMaxQueriesPerUnit * dim_, dim_) {
    for (int query = 0; query < n_queries(); ++query) {
      const int64_t position = rows.positions[query / rows.n_heads];
      const int64_t first = position - rows.window + 1;
      position_[query] = position;
      first_key_[query] = rows.window == 0 || first < 0 ? 0 : first;
    }
  }

  void attend_rows() {
    attend_tiles(0, std::numeric_limits<int64_t>::max());
    for (int query = 0; query < n_queries(); ++query) write_result(query);
  }

  void attend_tiles(int64_t begin_tile, int64_t end_tile) {
    int64_t first = first_key_[0];
    int64_t last = position_[0];
    for (int query = 1; query < n_queries(); ++query) {
      if (first_key_[query] < first) first = first_key_[query];
      if (position_[query] > last) last = position_[query];
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
      const int64_t last = position_[query] / kTileKeys;
      for (int64_t tile = first_key_[query] / kTileKeys; tile <= last; ++tile) {
        const float* partial = partial_of(query, tile);
        const int64_t begin = tile * kTileKeys;
        const KeyRange seen = visible(query, begin);
        add_tile<1>(query, begin, &seen, partial + dim_, partial + dim_ + 1, partial);
      }
      write_result(query);
    }
  }

 private:
  static constexpr int kGroup = 4;

  int n_queries() const { return rows_.n_rows * rows_.n_heads; }

  // The keys of the tile that the query sees, counted from the tile's first key.
  KeyRange visible(int query, int64_t tile_begin) const {
    const int64_t begin = first_key_[query] - tile_begin;
    const int64_t end = position_[query] + 1 - tile_begin;
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
      float* scores = scores_ + i * kTileKeys;
      if (seen[i].is_whole_tile()) {
        softmax_tile<S, true>(rows_.scale, seen[i], scores, m[i], l[i]);
      } else {
        softmax_tile<S, false>(rows_.scale, seen[i], scores, m[i], l[i]);
      }
    }
    keys_.template weigh<n>(seen, scores_, tile_o_);
    if (rows_.partials.data == nullptr) {
      return add_tile<n>(first_query, tile_begin, seen, m, l, tile_o_);
    }
    for (int i = 0; i < n; ++i) {
      if (seen[i].empty()) continue;
      keep(partial_of(first_query + i, tile_begin / kTileKeys), m[i], l[i], tile_o_ + i * dim_);
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
    template <int n>
    void add(int query, const MergeFactors<n>& factors, int i, float next_l,
             const float* next_o) const {
      const auto a = S::set1(factors.of_state[i]);
      const auto b = S::set1(factors.of_next[i]);
      float* sum = o + query * dim;
      m[query] = factors.m[i];
      store_up_to<S>(l + query, S::fma(S::set1(next_l), b, S::mul(S::set1(l[query]), a)), 1);
      for (int d = 0; d < dim; d += S::kWidth) {
        S::store(sum + d, S::fma(S::load(next_o + d), b, S::mul(S::load(sum + d), a)));
      }
    }

    float* const m;
    float* const l;
    float* const o;
    const int dim;
  };

  // Adds a tile, (m, l, o [dim]) of each of n queries, to the spans that it lies in. The first tile
  // that a query sees in a span becomes the span's state.
  template <int n>
  void add_tile(int first_query, int64_t tile_begin, const KeyRange* seen, const float* m,
                const float* l, const float* o) const {
    const int64_t span_begin = tile_begin / kSpanKeys * kSpanKeys;
    const int64_t tile_end = tile_begin + kTileKeys;
    MergeFactors<n> factors;
    factors.template set<S>(span_.m + first_query, m);
    for (int i = 0; i < n; ++i) {
      if (seen[i].empty()) continue;
      const int query = first_query + i;
      if (tile_begin == span_begin || tile_begin <= first_key_[query]) {
        span_.set(query, m[i], l[i], o + i * dim_);
      } else {
        span_.add(query, factors, i, l[i], o + i * dim_);
      }
      if (tile_end == span_begin + kSpanKeys || tile_end > position_[query]) {
        add_span(query, span_begin);
      }
    }
  }

  // The first span that a query sees becomes the query's state.
  void add_span(int query, int64_t span_begin) const {
    const float* o = span_.o + query * dim_;
    if (span_begin <= first_key_[query])
      return whole_.set(query, span_.m[query], span_.l[query], o);
    MergeFactors<1> factors;
    factors.template set<S>(whole_.m + query, span_.m + query);
    whole_.add(query, factors, 0, span_.l[query], o);
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
  float* const scores_;                         // [4][64], then p
  float* const tile_o_;                         // [4][dim]
  const State span_;                            // of the span that the last tile is in
  const State whole_;                           // of all spans before it
  int64_t first_key_[kMaxQueriesPerUnit] = {};  // the first position that a query sees
  int64_t position_[kMaxQueriesPerUnit] = {};   // and the last one
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
