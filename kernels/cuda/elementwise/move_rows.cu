// The ops that move or check values: gather_rows, concat_columns, resolve_tokens, finite_rows.
#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kDepth = 4;  // values that a thread loads before it uses the first

struct GatherParams {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int n = 0;  // rows of x
  const int32_t* rows = nullptr;
  float* out = nullptr;
  int64_t out_stride = 0;
  int dim = 0;
};

// Copies values [first, first + kThreads * kDepth) of a row of n.
__device__ inline void copy_values(const float* from, float* to, int first, int n) {
  float values[kDepth];
  first += static_cast<int>(threadIdx.x);
#pragma unroll
  for (int u = 0; u < kDepth; ++u) {
    if (first + u * kThreads < n) values[u] = from[first + u * kThreads];
  }
#pragma unroll
  for (int u = 0; u < kDepth; ++u) {
    if (first + u * kThreads < n) to[first + u * kThreads] = values[u];
  }
}

// Grid: row of the output, run of columns.
__global__ void __launch_bounds__(kThreads) gather(const __grid_constant__ GatherParams p) {
  const int64_t i = blockIdx.x;
  const int row = p.rows[i];
  device_check(row >= 0 && row < p.n);
  copy_values(p.x + row * p.x_stride, p.out + i * p.out_stride,
              static_cast<int>(blockIdx.y) * kThreads * kDepth, p.dim);
}

constexpr int kMaxParts = 64;

struct ConcatParams {
  const float* parts = nullptr;  // [n_parts, n_rows, max_cols]
  int64_t part_stride = 0;
  int max_cols = 0;
  int n_cols[kMaxParts] = {};
  int first_col[kMaxParts] = {};  // in the output
  float* out = nullptr;
  int64_t out_stride = 0;
};

// Grid: row, run of columns of a part, part.
__global__ void __launch_bounds__(kThreads) concat(const __grid_constant__ ConcatParams p) {
  const int64_t row = blockIdx.x;
  const int part = static_cast<int>(blockIdx.z);
  copy_values(p.parts + part * p.part_stride + row * p.max_cols,
              p.out + row * p.out_stride + p.first_col[part],
              static_cast<int>(blockIdx.y) * kThreads * kDepth, p.n_cols[part]);
}

struct ResolveParams {
  const int32_t* ids = nullptr;
  const int32_t* seq_slots = nullptr;
  const int32_t* positions = nullptr;
  int32_t* token_ids = nullptr;
  int64_t slot_stride = 0;
  int n_slots = 0, max_positions = 0;
  int32_t* tokens = nullptr;
  int n_tokens = 0;
};

// A thread is a token. No two tokens of a step have the same slot and position.
__global__ void __launch_bounds__(kThreads) resolve(const __grid_constant__ ResolveParams p) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= p.n_tokens) return;
  const int slot = p.seq_slots[i];
  const int position = p.positions[i];
  device_check(slot >= 0 && slot < p.n_slots);
  device_check(position >= 0 && position < p.max_positions);
  int32_t* known = p.token_ids + slot * p.slot_stride + position;
  const int id = p.ids[i];
  if (id >= 0) *known = id;
  p.tokens[i] = id >= 0 ? id : *known;
}

struct FiniteParams {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int dim = 0;
  float limit = 0.0f;
  uint8_t* finite = nullptr;
};

// Grid: row, run of columns. Threads only ever write 0.
__global__ void __launch_bounds__(kThreads) check_finite(const __grid_constant__ FiniteParams p) {
  const int64_t row = blockIdx.x;
  const float* x = p.x + row * p.x_stride;
  const int first = static_cast<int>(blockIdx.y * kThreads * kDepth + threadIdx.x);
  bool finite = true;
#pragma unroll
  for (int u = 0; u < kDepth; ++u) {
    const int d = first + u * kThreads;
    if (d < p.dim) finite = finite && fabsf(x[d]) < p.limit;
  }
  if (!finite) p.finite[row] = 0;
}

dim3 rows_grid(int64_t n_rows, int64_t n_cols, unsigned n_parts = 1) {
  return {static_cast<unsigned>(n_rows), blocks_for(n_cols, kThreads * kDepth), n_parts};
}

}  // namespace

void gather_rows(const GatherRowsArgs& args, cudaStream_t stream) {
  GatherParams p;
  p.x = static_cast<const float*>(args.x.data);
  p.x_stride = args.x.row_stride;
  p.n = static_cast<int>(args.x.n_rows());
  p.rows = static_cast<const int32_t*>(args.rows.data);
  p.out = static_cast<float*>(args.out.data);
  p.out_stride = args.out.row_stride;
  p.dim = static_cast<int>(args.x.shape[1]);
  launch(gather, rows_grid(args.out.n_rows(), p.dim), kThreads, stream, p);
}

void concat_columns(const ConcatColumnsArgs& args, cudaStream_t stream) {
  const int64_t n_parts = args.parts.n_rows();
  CHECK(n_parts <= kMaxParts);
  ConcatParams p;
  p.parts = static_cast<const float*>(args.parts.data);
  p.part_stride = args.parts.row_stride;
  p.max_cols = static_cast<int>(args.parts.shape[2]);
  int n_all = 0;
  for (size_t part = 0; part < args.n_cols.size(); ++part) {
    p.n_cols[part] = static_cast<int>(args.n_cols[part]);
    p.first_col[part] = n_all;
    n_all += p.n_cols[part];
  }
  p.out = static_cast<float*>(args.out.data);
  p.out_stride = args.out.row_stride;
  launch(concat, rows_grid(args.out.n_rows(), p.max_cols, static_cast<unsigned>(n_parts)), kThreads,
         stream, p);
}

void resolve_tokens(const ResolveTokensArgs& args, cudaStream_t stream) {
  ResolveParams p;
  p.ids = static_cast<const int32_t*>(args.ids.data);
  p.seq_slots = static_cast<const int32_t*>(args.seq_slots.data);
  p.positions = static_cast<const int32_t*>(args.positions.data);
  p.token_ids = static_cast<int32_t*>(args.token_ids.data);
  p.slot_stride = args.token_ids.row_stride;
  p.n_slots = static_cast<int>(args.token_ids.n_rows());
  p.max_positions = static_cast<int>(args.token_ids.shape[1]);
  p.tokens = static_cast<int32_t*>(args.tokens.data);
  p.n_tokens = static_cast<int>(args.tokens.shape[0]);
  launch(resolve, dim3(blocks_for(p.n_tokens, kThreads)), kThreads, stream, p);
}

void finite_rows(const FiniteRowsArgs& args, cudaStream_t stream) {
  FiniteParams p;
  p.x = static_cast<const float*>(args.x.data);
  p.x_stride = args.x.row_stride;
  p.dim = static_cast<int>(args.x.row_size());
  p.limit = args.limit;
  p.finite = static_cast<uint8_t*>(args.finite.data);
  launch(check_finite, rows_grid(args.x.n_rows(), p.dim), kThreads, stream, p);
}

}  // namespace lockstep::cuda
