// The sampler's passes over the whole vocabulary; a warp takes a chunk of 1024 ids.
#include "kernels/cuda/sampling/sample_params.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kDepth = 8;  // values that a lane loads before it uses the first

struct ScanParams {
  SampleParams sample;
  bool changed_rows = false;  // scans what change_logits has made of the rows that it changed
};

// The chunk of this warp; n_chunks or more if there is none.
__device__ inline int chunk_of_warp() {
  return static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarpSize;
}

// Calls fn(i, value) for the values that this lane has of a row's chunk, ascending.
template <class Fn>
__device__ inline void for_each_value(const float* values, int n, const Fn& fn) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  for (int first = lane; first < n; first += kWarpSize * kDepth) {
    float loaded[kDepth];
#pragma unroll
    for (int u = 0; u < kDepth; ++u) {
      const int i = first + u * kWarpSize;
      loaded[u] = i < n ? values[i] : 0.0f;
    }
#pragma unroll
    for (int u = 0; u < kDepth; ++u) {
      if (first + u * kWarpSize < n) fn(first + u * kWarpSize, loaded[u]);
    }
  }
}

// Grid: run of kWarps chunks, row of the run.
__global__ void __launch_bounds__(kThreads) scan_chunks(const __grid_constant__ ScanParams params) {
  const SampleParams& p = params.sample;
  const SampleRow row(p, static_cast<int>(blockIdx.y));
  const int chunk = chunk_of_warp();
  const bool changed = is_changed(row.row);
  if (chunk >= p.n_chunks || (params.changed_rows && !changed)) return;
  const int first = chunk * kSampleChunk;
  const float* values = (params.changed_rows ? row.z : row.raw) + first;
  float* copy = changed && !params.changed_rows ? p.z + row.in_run * p.vocab_size + first : nullptr;
  float m = values[0];
  bool finite = true;
  for_each_value(values, chunk_length(p, chunk), [&](int i, float value) {
    m = value > m ? value : m;
    finite = finite && fabsf(value) <= FLT_MAX;
    if (copy != nullptr) copy[i] = value;
  });
  m = warp_max_or_nan(m);
  // Only bans make a logit infinite after penalties.
  const bool broken = __any_sync(kAllLanes, finite ? 0 : 1) != 0;
  if (threadIdx.x % kWarpSize != 0) return;
  const int64_t at = row.in_run * p.n_chunks + chunk;
  p.z_max[at] = m;
  if (!params.changed_rows) p.raw_max[at] = broken ? __int_as_float(0x7fc00000) : m;
}

// The strided sum of fn(value) over a chunk.
template <class Fn>
__device__ inline float chunk_sum(const float* values, int n, const Fn& fn) {
  float sum = 0.0f;
  for_each_value(values, n, [&](int /*i*/, float value) { sum = sum + fn(value); });
  return warp_tree_sum(sum);
}

// Grid: run of kWarps chunks, row of the run.
__global__ void __launch_bounds__(kThreads) sum_weights(const __grid_constant__ SampleParams p) {
  const SampleRow row(p, static_cast<int>(blockIdx.y));
  const int chunk = chunk_of_warp();
  if (chunk >= p.n_chunks) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int64_t first_chunk = row.in_run * p.n_chunks;
  const int n = chunk_length(p, chunk);
  const int first = chunk * kSampleChunk;
  if (row.row.n_logprobs >= 0) {
    const float max = max_of_chunks(p.raw_max + first_chunk, p.n_chunks);
    const float sum =
        chunk_sum(row.raw + first, n, [&](float value) { return contract_exp(value - max); });
    if (lane == 0) p.raw_sums[first_chunk + chunk] = sum;
  }
  if (row.row.temperature != 0.0f && !has_top_k(row.row, p.vocab_size)) {
    const Weights weights(row.row, max_of_chunks(p.z_max + first_chunk, p.n_chunks));
    const float sum = chunk_sum(row.z + first, n, [&](float value) { return weights.p(value); });
    if (lane == 0) p.p_sums[first_chunk + chunk] = sum;
  }
}

dim3 chunks_grid(const SampleParams& p, int n_rows) {
  return {blocks_for(p.n_chunks, kWarps), static_cast<unsigned>(n_rows)};
}

void launch_scan(const SampleParams& p, int n_rows, bool changed_rows, cudaStream_t stream) {
  ScanParams params;
  params.sample = p;
  params.changed_rows = changed_rows;
  launch(scan_chunks, chunks_grid(p, n_rows), kThreads, stream, params);
}

struct ChangeParams {
  SampleParams sample;
};
constexpr int kChangeThreads = 256;

// Penalties, once for each id in prompt or output, then bans. Grid: row of the run.
__global__ void __launch_bounds__(kChangeThreads)
    change_row(const __grid_constant__ ChangeParams params) {
  const SampleParams& p = params.sample;
  const SampleRow row(p, static_cast<int>(blockIdx.x));
  if (!is_changed(row.row)) return;
  const int32_t* tokens = p.token_ids + row.row.seq_slot * p.token_stride;
  float* z = p.z + row.in_run * p.vocab_size;
  int32_t* counts = p.counts + row.in_run * p.vocab_size;
  const auto in_vocab = [&](int id) { return id >= 0 && id < p.vocab_size; };
  if (has_penalties(row.row)) {
    const auto for_each_known = [&](int first, const auto& fn) {
      for (int i = first + static_cast<int>(threadIdx.x); i < row.row.n_known;
           i += kChangeThreads) {
        if (in_vocab(tokens[i])) fn(tokens[i]);
      }
    };
    for_each_known(0, [&](int id) { counts[id] = 0; });
    __syncthreads();  // every count that is used is 0
    for_each_known(row.row.n_prompt > 0 ? row.row.n_prompt : 0,
                   [&](int id) { atomicAdd(counts + id, 1); });
    __syncthreads();  // every count is complete
    for_each_known(0, [&](int id) {
      const int count = atomicExch(counts + id, -1);  // of all tokens with this id, one gets it
      if (count >= 0) z[id] = penalise(z[id], count, row.row);
    });
    __syncthreads();  // a banned id is penalised before it is removed
  }
  if (row.row.min_tokens_left <= 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < row.row.n_banned; i += kChangeThreads) {
    const int id = p.banned[row.row.banned_first + i];
    if (in_vocab(id)) z[id] = -kInfinity;
  }
}

}  // namespace

void scan_logits(const SampleParams& p, int n_rows, cudaStream_t stream) {
  launch_scan(p, n_rows, false, stream);
}

void change_logits(const SampleParams& p, int n_rows, cudaStream_t stream) {
  ChangeParams params;
  params.sample = p;
  launch(change_row, dim3(static_cast<unsigned>(n_rows)), kChangeThreads, stream, params);
  launch_scan(p, n_rows, true, stream);
}

void sum_chunks(const SampleParams& p, int n_rows, cudaStream_t stream) {
  launch(sum_weights, chunks_grid(p, n_rows), kThreads, stream, p);
}

}  // namespace lockstep::cuda
