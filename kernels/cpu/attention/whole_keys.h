// WholeKeys: multiplies queries with a tile of k16v8 or k16v16 keys and values as whole numbers
// (docs/numerics.md section 4): exact sums of 32-bit whole numbers, a few f32 operations per 32 of
// them. K is read from the KV blocks where a vector of keys lies in one block, and else from a copy
// in scratch. V is interleaved by pairs of keys in scratch.
//
// Outside the wanted keys both are arbitrary: their scores are masked by the caller, and the
// weights of masked keys are 0.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/cpu/attention/attention_rows.h"
#include "kernels/cpu/attention/whole_numbers.h"
#include "kernels/cpu/simd/simd_math.h"

namespace lockstep::simd {

inline constexpr int kScaledLen = 32;  // dims of K, and of a query, that share a scale
inline constexpr float kMaxQuery = 2047.0f;
inline constexpr float kMaxWeight = 2047.0f;

// V: int8_t or int16_t, the whole numbers of the values.
template <class S, class V>
class WholeKeys {
 public:
  explicit WholeKeys(const AttentionRows& rows)
      : rows_(rows),
        dim_(padded_dim(rows.kv.head_dim)),
        n_scales_((rows.kv.head_dim + kScaledLen - 1) / kScaledLen),
        k_copy_(reinterpret_cast<int16_t*>(rows.scratch)),
        k_scale_copy_(rows.scratch + kTileKeys * dim_ / 2),
        v_(reinterpret_cast<int16_t*>(k_scale_copy_ + kTileKeys * n_scales_)),
        v_scales_(k_scale_copy_ + kTileKeys * (n_scales_ + dim_ / 2)),
        q_(reinterpret_cast<int16_t*>(end_of_scratch())),
        q_scales_(end_of_scratch() + kMaxQueriesPerUnit * dim_ / 2) {
    for (int query = 0; query < rows.n_rows * rows.n_heads; ++query) quantize_query(query);
  }

  // Loads the keys [begin, end), which must be of one tile.
  void fill(int64_t begin, int64_t end) {
    const int64_t tile_begin = begin / kTileKeys * kTileKeys;
    const int size = rows_.kv.block_size;
    const bool copies = size % S::kWidth != 0;
    k_stride_ = copies ? 2 * kTileKeys : 2 * size;
    k_scale_stride_ = copies ? kTileKeys : size;
    for (int v = 0; v < kVecs; ++v) {
      k_at_[v] = copies ? k_copy_ + 2 * v * S::kWidth : nullptr;
      k_scales_at_[v] = copies ? k_scale_copy_ + v * S::kWidth : nullptr;
    }
    for (int64_t block = begin / size; block * size < end; ++block) {
      const int64_t page = rows_.kv.blocks[block] * rows_.kv.block_bytes;
      const int64_t first = block * size > tile_begin ? block * size : tile_begin;
      const int64_t tile_end = tile_begin + kTileKeys;
      const int64_t last = (block + 1) * size < tile_end ? (block + 1) * size : tile_end;
      const int offset = static_cast<int>(first - block * size);
      const int at = static_cast<int>(first - tile_begin);
      const int n = static_cast<int>(last - first);
      if (copies) {
        copy_k(page, offset, n, at);
      } else {
        point_to_k(page, offset, n, at);
      }
      std::memcpy(v_scales_ + at, v_scales(page) + offset, static_cast<size_t>(n) * sizeof(float));
    }
    const int known = static_cast<int>(begin - tile_begin) / S::kWidth;
    for (int v = 0; v < kVecs; ++v) {  // vectors without a wanted key read those of another one
      if (k_at_[v] != nullptr) continue;
      k_at_[v] = k_at_[known];
      k_scales_at_[v] = k_scales_at_[known];
    }
    fill_v(begin, end, tile_begin);
  }

  // scores [n][64]: the products of n queries with the keys of the tile, before the scale.
  template <int n>
  void score(int first_query, float* scores) const {
    constexpr int kStep = S::kTileVecs < kVecs ? S::kTileVecs : kVecs;
    for (int v = 0; v < kVecs; v += kStep) {
      for (int b = 0; b < n_scales_; ++b) score_block<n, kStep>(first_query, v, b, scores);
    }
  }

  // o [n][dim]: the values under the weights p [n][64], whose masked ones are +0.
  template <int n>
  void weigh(const KeyRange* seen, const float* p, float* o) {
    int16_t weights[n][kTileKeys];
    float unit[n];
    float all[n];  // what every dim is if no sum is needed
    bool sums[n];
    for (int i = 0; i < n; ++i) {
      const float* weights_of = p + i * kTileKeys;
      sums[i] = seen[i].is_whole_tile()
                    ? round_weights<true>(seen[i], weights_of, weights[i], unit[i], all[i])
                    : round_weights<false>(seen[i], weights_of, weights[i], unit[i], all[i]);
    }
    constexpr int kStep = S::kTileVecs * S::kWidth;
    int d = 0;
    for (; d + kStep <= dim_; d += kStep) add_values<n, S::kTileVecs>(weights, unit, d, o);
    for (; d < dim_; d += S::kWidth) add_values<n, 1>(weights, unit, d, o);
    for (int i = 0; i < n; ++i) {
      if (sums[i]) continue;
      for (int j = 0; j < dim_; j += S::kWidth) S::store(o + i * dim_ + j, S::set1(all[i]));
    }
  }

 private:
  static constexpr int kVecs = kTileKeys / S::kWidth;

  float* end_of_scratch() const {
    return rows_.scratch + attention_scratch_floats(rows_.kv.head_dim) - (kTileKeys + 2) * dim_;
  }
  const float* k_scales(int64_t page) const {
    return reinterpret_cast<const float*>(rows_.kv.k + page);
  }
  const int16_t* k_values(int64_t page) const {
    return reinterpret_cast<const int16_t*>(k_scales(page) + n_scales_ * rows_.kv.block_size);
  }
  const float* v_scales(int64_t page) const {
    return reinterpret_cast<const float*>(rows_.kv.v + page);
  }
  const V* v_row(int64_t page, int slot) const {
    return reinterpret_cast<const V*>(v_scales(page) + rows_.kv.block_size) +
           slot * rows_.kv.head_dim;
  }

  void quantize_query(int query) {
    const float* x = query_of(rows_, query);
    for (int b = 0; b < n_scales_; ++b) {
      const int d = b * kScaledLen;
      const int n = rows_.kv.head_dim - d < kScaledLen ? rows_.kv.head_dim - d : kScaledLen;
      q_scales_[query * n_scales_ + b] =
          quantize_whole<S>(x + d, n, kMaxQuery, q_ + query * dim_ + d);
    }
  }

  void point_to_k(int64_t page, int offset, int n, int at) {
    for (int i = 0; i < n; i += S::kWidth) {
      const int v = (at + i) / S::kWidth;
      k_at_[v] = k_values(page) + 2 * (offset + i);
      k_scales_at_[v] = k_scales(page) + offset + i;
    }
  }

  void copy_k(int64_t page, int offset, int n, int at) {
    const int size = rows_.kv.block_size;
    for (int b = 0; b < n_scales_; ++b) {
      std::memcpy(k_scale_copy_ + b * kTileKeys + at, k_scales(page) + b * size + offset,
                  static_cast<size_t>(n) * sizeof(float));
    }
    for (int pair = 0; pair < rows_.kv.head_dim / 2; ++pair) {
      std::memcpy(k_copy_ + 2 * (pair * kTileKeys + at),
                  k_values(page) + 2 * (pair * size + offset),
                  static_cast<size_t>(n) * 2 * sizeof(int16_t));
    }
  }

  // v_ [32 pairs of keys][dim][2]. A pair of which one key is not wanted takes the other one twice.
  void fill_v(int64_t begin, int64_t end, int64_t tile_begin) {
    const int size = rows_.kv.block_size;
    for (int64_t key = begin / 2 * 2; key < end; key += 2) {
      const int64_t first = key < begin ? key + 1 : key;
      const int64_t second = key + 1 < end ? key + 1 : key;
      const V* a = v_row(rows_.kv.blocks[first / size] * rows_.kv.block_bytes,
                         static_cast<int>(first % size));
      const V* b = v_row(rows_.kv.blocks[second / size] * rows_.kv.block_bytes,
                         static_cast<int>(second % size));
      interleave_rows(a, b, v_ + (key - tile_begin) * dim_);
    }
  }

  void interleave_rows(const V* a, const V* b, int16_t* pairs) const {
    int d = 0;
    for (; d + S::kWidth <= rows_.kv.head_dim; d += S::kWidth) {
      S::interleave(a + d, b + d, pairs + 2 * d);
    }
    for (; d < rows_.kv.head_dim; ++d) {
      pairs[2 * d] = a[d];      // NOLINT(bugprone-signed-char-misuse): a number
      pairs[2 * d + 1] = b[d];  // NOLINT(bugprone-signed-char-misuse)
    }
  }

  // Adds the products of the dims of scale b to the scores of n_vecs vectors of keys from v on.
  template <int n, int n_vecs>
  void score_block(int first_query, int v, int b, float* scores) const {
    const int first_pair = b * kScaledLen / 2;
    const int end_pair = first_pair + kScaledLen / 2 < rows_.kv.head_dim / 2
                             ? first_pair + kScaledLen / 2
                             : rows_.kv.head_dim / 2;
    const int16_t* q = q_ + first_query * dim_;
    typename S::F q_scale[n];
    for (int i = 0; i < n; ++i) q_scale[i] = S::set1(q_scales_[(first_query + i) * n_scales_ + b]);
    typename S::I sum[n][n_vecs];
    for (auto& row : sum) {
      for (auto& value : row) value = S::zero_int();
    }
    for (int pair = first_pair; pair < end_pair; ++pair) {
      typename S::I keys[n_vecs];
      for (int j = 0; j < n_vecs; ++j) keys[j] = S::load_pairs(k_at_[v + j] + pair * k_stride_);
      for (int i = 0; i < n; ++i) {
        const auto value = S::set1_pair(q + i * dim_ + 2 * pair);
        for (int j = 0; j < n_vecs; ++j) sum[i][j] = S::add_products(value, keys[j], sum[i][j]);
      }
    }
    // In registers only if unrolled.
#pragma GCC unroll 4
    for (int j = 0; j < n_vecs; ++j) {
      const auto k_scale = S::load(k_scales_at_[v + j] + b * k_scale_stride_);
#pragma GCC unroll 4
      for (int i = 0; i < n; ++i) {
        float* score = scores + i * kTileKeys + (v + j) * S::kWidth;
        const auto before = b == 0 ? S::set1(0.0f) : S::load(score);
        S::store(score, S::fma(S::mul(q_scale[i], k_scale), S::to_float(sum[i][j]), before));
      }
    }
  }

  // Rounds the weights p * (scale of the value) to whole numbers, in units of `unit`. Returns false
  // if no sum is needed, because every dim of the tile is `all`. whole: all keys are visible.
  template <bool whole>
  bool round_weights(const KeyRange& seen, const float* p, int16_t* weights, float& unit,
                     float& all) const {
    const auto weight_at = [&](int key) {
      const auto w = S::mul(S::load(p + key), S::load(v_scales_ + key));
      if constexpr (whole) return w;
      return S::select(S::mask(seen.begin - key, seen.end - key), w, S::set1(0.0f));
    };
    auto largest = S::set1(0.0f);
    auto nan = S::mask(0, 0);
    for (int key = 0; key < kTileKeys; key += S::kWidth) {
      const auto w = weight_at(key);
      nan = S::either(nan, S::is_nan(w));
      largest = S::max(w, largest);
    }
    const bool any_nan = S::bits(nan) != 0;
    const float u = S::max_element(largest);
    unit = u / kMaxWeight;
    all = any_nan ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
    if (any_nan || u < kLeastScaled) {
      std::memset(weights, 0, kTileKeys * sizeof *weights);
      return false;
    }
    const auto inverse = S::set1(kMaxWeight / u);
    for (int key = 0; key < kTileKeys; key += S::kWidth) {
      S::store_rounded(weights + key, S::mul(weight_at(key), inverse));
    }
    return true;
  }

  template <int n, int n_vecs>
  void add_values(const int16_t (&weights)[n][kTileKeys], const float* unit, int d,
                  float* o) const {
    typename S::I sum[n][n_vecs];
    for (auto& row : sum) {
      for (auto& value : row) value = S::zero_int();
    }
    for (int key = 0; key < kTileKeys; key += 2) {
      typename S::I values[n_vecs];
      for (int j = 0; j < n_vecs; ++j) {
        values[j] = S::load_pairs(v_ + key * dim_ + 2 * (d + j * S::kWidth));
      }
      for (int i = 0; i < n; ++i) {
        const auto weight = S::set1_pair(weights[i] + key);
        for (int j = 0; j < n_vecs; ++j) sum[i][j] = S::add_products(weight, values[j], sum[i][j]);
      }
    }
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n_vecs; ++j) {
        S::store(o + i * dim_ + d + j * S::kWidth,
                 S::mul(S::set1(unit[i]), S::to_float(sum[i][j])));
      }
    }
  }

  const AttentionRows& rows_;
  const int dim_;
  const int n_scales_;
  int16_t* const k_copy_;      // [head_dim / 2][64][2], if K is copied
  float* const k_scale_copy_;  // [n_scales][64], likewise
  int16_t* const v_;           // [32][dim][2]
  float* const v_scales_;      // [64]
  int16_t* const q_;           // [queries][dim]
  float* const q_scales_;      // [queries][n_scales]
  // K of the tile by vectors of keys, and the numbers from one pair of dims, or scale, to the next.
  const int16_t* k_at_[kVecs];
  const float* k_scales_at_[kVecs];
  int64_t k_stride_ = 0;
  int64_t k_scale_stride_ = 0;
};

}  // namespace lockstep::simd
