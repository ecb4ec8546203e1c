// What the kernels of attention share: their parameters, the keys that a row sees, the results of
// spans and how they merge (docs/numerics.md section 4).
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/attention/kv_plane.cuh"
#include "kernels/cuda/device/device_math.cuh"

namespace lockstep::cuda {

inline constexpr int kTileKeys = 64;
inline constexpr int kSpanKeys = 512;

// The result of a span of one row and head, or of several merged. m and l lie behind o, which is
// padded so that a thread may write four values of it at once.
struct Partial {
  float* o;  // [head_dim]
  float* m;
  float* l;
};
__host__ __device__ constexpr int padded_head_dim(int head_dim) { return (head_dim + 3) / 4 * 4; }
__host__ __device__ constexpr int partial_floats(int head_dim) {
  return padded_head_dim(head_dim) + 4;
}

struct AttentionParams {
  const float* q = nullptr;
  int64_t q_stride = 0;
  const int32_t* positions = nullptr;
  const int32_t* seq_of_token = nullptr;
  const int32_t* block_tables = nullptr;
  int64_t table_stride = 0;
  int max_blocks = 0, n_seqs = 0;
  float scale = 0.0f;
  int window = 0;  // 0 = all keys
  float* out = nullptr;
  int64_t out_stride = 0;
  int n_heads = 0, heads_per_kv = 0;
  KvParams kv;

  int first_row = 0, n_rows = 0;  // the rows of this run
  int first_span = 0;             // first span of this pass
  int n_pass_spans = 0;           // spans per pass
  float* partials = nullptr;      // [rows of the run, n_heads, n_pass_spans] Partial
  float* states = nullptr;        // [rows of the run, n_heads] Partial

  __device__ Partial at(float* base, int64_t i) const {
    float* o = base + i * partial_floats(kv.head_dim);
    float* m = o + padded_head_dim(kv.head_dim);
    return {o, m, m + 1};
  }
  __device__ Partial partial(int run_row, int head, int pass_span) const {
    return at(partials, (int64_t{run_row} * n_heads + head) * n_pass_spans + pass_span);
  }
  __device__ Partial state(int run_row, int head) const {
    return at(states, int64_t{run_row} * n_heads + head);
  }
};

// A range of keys of one sequence: [begin, end).
struct Keys {
  int begin = 0, end = 0;
  __device__ int first_span() const { return begin / kSpanKeys; }
  __device__ int last_span() const { return (end - 1) / kSpanKeys; }
  __device__ bool has(int key) const { return key >= begin && key < end; }
};

// The part of `keys` that lies in [begin, end); begin >= end if there is none.
__device__ inline Keys clamp_keys(const Keys& keys, int begin, int end) {
  return {keys.begin > begin ? keys.begin : begin, keys.end < end ? keys.end : end};
}

// The visible keys of a row.
__device__ inline Keys keys_of(const AttentionParams& p, int row) {
  const int position = p.positions[row];
  device_check(position >= 0 && position / p.kv.block_size < p.max_blocks);
  const int begin = p.window == 0 || position < p.window ? 0 : position - p.window + 1;
  return {begin, position + 1};
}

__device__ inline const int32_t* table_of(const AttentionParams& p, int row) {
  const int seq = p.seq_of_token[row];
  device_check(seq >= 0 && seq < p.n_seqs);
  return p.block_tables + seq * p.table_stride;
}

// The KV block and the slot in it of a key of the row's sequence. Computed and checked once per
// key, before the loops over dims and keys, because the compiler moves no load above a check.
struct KeyPlace {
  int block, slot;
};

// Writes the places of the keys [begin, end) of one span; places[i] is that of key i of the span.
template <int kThreads>
__device__ inline void find_places(const AttentionParams& p, const int32_t* table, int begin,
                                   int end, KeyPlace (&places)[kSpanKeys]) {
  for (int key = begin + static_cast<int>(threadIdx.x); key < end; key += kThreads) {
    const int block = table[key / p.kv.block_size];
    device_check(block >= 0 && block < p.kv.n_blocks);
    places[key % kSpanKeys] = {block, key % p.kv.block_size};
  }
}

// The factors by which a state and what joins it are scaled when they are merged.
struct Rescale {
  float state, joining;
};

// The running maximum and sum of the tiles of a span, for one row and head.
struct Softmax {
  float m = 0.0f, l = 0.0f;

  // Takes the next tile. The first tile is the state, and its factors are not used.
  __device__ Rescale join(bool is_first, float m_tile, float l_tile) {
    if (is_first) {
      *this = {m_tile, l_tile};
      return {0.0f, 1.0f};
    }
    const float m_new = max_or_nan(m, m_tile);
    const Rescale rescale{contract_exp(m - m_new), contract_exp(m_tile - m_new)};
    l = fmaf(l_tile, rescale.joining, l * rescale.state);
    m = m_new;
    return rescale;
  }
};

// Each launches a CUDA block for every span of the pass, run of query heads of one KV head, and row
// (or run of rows) of the run, which writes the partial of each of its rows and heads.
void attend_float_spans(DType dtype, const AttentionParams& p, int n_spans, cudaStream_t stream);
void attend_whole_spans(DType dtype, const AttentionParams& p, int n_spans, cudaStream_t stream);

}  // namespace lockstep::cuda
