// The end of the sampler: a CUDA block takes a row, draws its id, and writes its log-probabilities.
// Sums whose order is serial (docs/numerics.md section 5, items 8 and 9) are taken by one thread;
// their terms are computed by all.
#include "kernels/cuda/sampling/best_ids.cuh"
#include "kernels/philox.h"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = kDrawThreads / kWarpSize;
static_assert(kWarps * kWarpSize >= kMaxSampleChunks);
constexpr int kMaxBatches = kMaxSampleChunks + 2;

struct DrawShared {
  BestKeys best;  // of the batch that is loaded
  // The terms of a serial sum, then the running sums up to and with each.
  float sums[kSampleChunk];
  int n_summed;  // terms that were summed
  float sum;     // the last running sum
  int found;
  int first_sum[2];
  // Of every batch of sorted ids so far: where it begins, and the running sum at its end.
  uint64_t batch_from[kMaxBatches];
  float batch_sums[kMaxBatches];
  float group_sums[kWarps];
};

// Thread 0 adds sums[i], i in [0, n), to `before`, until a term is negative or a running sum is
// >= enough, and leaves the running sums in their place. The other threads wait.
__device__ void sum_in_order(DrawShared& shared, int n, float before, float enough) {
  constexpr int kDepth = 8;  // terms that are loaded before the first is added
  __syncthreads();           // the terms are written
  if (threadIdx.x == 0) {
    float sum = before;
    int i = 0;
    bool more = true;
    while (more && i < n) {
      float terms[kDepth];
#pragma unroll
      for (int u = 0; u < kDepth; ++u) terms[u] = i + u < n ? shared.sums[i + u] : -1.0f;
#pragma unroll
      for (int u = 0; u < kDepth; ++u) {
        more = more && terms[u] >= 0.0f;
        if (!more) continue;
        sum = sum + terms[u];
        shared.sums[i++] = sum;
        more = !(sum >= enough);
      }
    }
    shared.n_summed = i;
    shared.sum = sum;
  }
  __syncthreads();  // the running sums are written
}

// The first i in [0, n) for which is_there(sums[i]), which holds for all later ones as well; n - 1
// if it holds for none. Two searches in a row have different results: a slow warp may read the one
// while a fast warp writes the other.
template <class Fn>
__device__ int first_sum(DrawShared& shared, int n, int result, const Fn& is_there) {
  int& first = shared.first_sum[result];
  if (threadIdx.x == 0) first = n - 1;
  __syncthreads();  // the default is written
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kDrawThreads) {
    if (is_there(shared.sums[i]) && (i == 0 || !is_there(shared.sums[i - 1]))) first = i;
  }
  __syncthreads();  // the result is written
  return first;
}

// The tree of neighbours over n <= kMaxSampleChunks values.
__device__ float sum_neighbours(DrawShared& shared, const float* values, int n) {
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpSize;
  const int left = n - thread / kWarpSize * kWarpSize;
  if (left > 0) {
    const int n_lanes = left < kWarpSize ? left : kWarpSize;
    const float sum = warp_tree_sum(lane < n_lanes ? values[thread] : 0.0f, n_lanes);
    if (lane == 0) shared.group_sums[thread / kWarpSize] = sum;
  }
  __syncthreads();  // the sums of 32 values each are written
  const int n_groups = (n + kWarpSize - 1) / kWarpSize;
  return warp_tree_sum(lane < n_groups ? shared.group_sums[lane] : 0.0f, n_groups);
}

// A drawing of one row. All threads of the block call every function together.
struct Draw {
  const SampleParams& p;
  const SampleRow& row;
  const Weights& weights;
  const float* z_max;   // [n_chunks]
  const float* p_sums;  // [n_chunks]
  DrawShared& shared;

  // One of the sorted ids: id i of a batch.
  struct Place {
    int batch, i;
  };

  __device__ float unit() const {
    return random_unit(row.row.seed, row.row.output_idx, row.row.choice);
  }

  // The sum of all weights by id: a chain over the chunks, whose running sums stay in shared
  // memory.
  __device__ float sum_by_id() const {
    for (int i = static_cast<int>(threadIdx.x); i < p.n_chunks; i += kDrawThreads) {
      shared.sums[i] = p_sums[i];
    }
    sum_in_order(shared, p.n_chunks, 0.0f, kInfinity);
    return shared.sum;
  }

  __device__ int by_id() const {
    const float target = unit() * sum_by_id();
    const int chunk = first_sum(shared, p.n_chunks, 0, [&](float sum) { return sum > target; });
    const float before = chunk == 0 ? 0.0f : shared.sums[chunk - 1];
    __syncthreads();  // every thread has read the sum before the chunk
    const int first = chunk * kSampleChunk;
    const int n = chunk_length(p, chunk);
    int last = 0;  // id of this thread with a weight
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kDrawThreads) {
      shared.sums[i] = weights.p(row.z[first + i]);
      if (shared.sums[i] > 0.0f) last = i;
    }
    sum_in_order(shared, n, before, kInfinity);
    if (shared.sum > target) {
      return first + first_sum(shared, n, 1, [&](float sum) { return sum > target; });
    }
    return first + largest(last);
  }

  // The largest of the threads' numbers, which are not negative.
  __device__ int largest(int mine) const {
    if (threadIdx.x == 0) shared.found = 0;
    __syncthreads();  // 0 is written
    atomicMax(&shared.found, mine);
    __syncthreads();  // the largest is written
    return shared.found;
  }

  __device__ static int batch_size(int batch) { return batch == 0 ? kFirstBatch : kBatch; }

  // Loads a batch, of which at most `limit` ids take part, with its running sums, and returns how
  // many ids it has.
  __device__ int load(int batch, int limit, float enough) const {
    const int n_keys = best_keys(row.z, z_max, p.vocab_size, shared.batch_from[batch],
                                 batch_size(batch), shared.best);
    const int n = n_keys < limit ? n_keys : limit;
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kDrawThreads) {
      const float x = weights.x(logit_of_key(shared.best.keys[i]));
      shared.sums[i] = x >= weights.least_x ? contract_exp(x) : -1.0f;  // the rest is removed
    }
    sum_in_order(shared, n, batch == 0 ? 0.0f : shared.batch_sums[batch - 1], enough);
    return n_keys;
  }

  // The place of the first id up to `last` whose running sum is_there. There is one, since what is
  // looked for is at most the sum of all: top_p and the random number are below 1. So the last
  // batch may have no id that takes part. Batch `loaded` is loaded, and then the one of the place.
  template <class Fn>
  __device__ Place find(const Place& last, int& loaded, int result, const Fn& is_there) const {
    int batch = 0;
    while (batch < last.batch && !is_there(shared.batch_sums[batch])) ++batch;
    if (batch != loaded) load(batch, kBatch, kInfinity);
    loaded = batch;
    const int n = batch == last.batch ? last.i + 1 : batch_size(batch);
    return {batch, first_sum(shared, n, result, is_there)};
  }

  __device__ int sorted() const {
    const bool top_k = has_top_k(row.row, p.vocab_size);
    const bool top_p = has_top_p(row.row);
    const float enough = top_p && !top_k ? row.row.top_p * sum_by_id() : kInfinity;
    int left = top_k ? row.row.top_k : p.vocab_size;
    uint64_t from = 0;
    Place last{0, -1};
    float total = 0.0f;
    for (;; ++last.batch) {
      if (threadIdx.x == 0) shared.batch_from[last.batch] = from;
      __syncthreads();  // the begin of the batch is written
      const int n_keys = load(last.batch, left, enough);
      total = shared.sum;
      last.i = shared.n_summed - 1;
      left -= shared.n_summed;
      if (threadIdx.x == 0) shared.batch_sums[last.batch] = total;
      const bool used_all = shared.n_summed == batch_size(last.batch);
      if (!used_all || left == 0 || total >= enough) break;
      from = shared.best.keys[n_keys - 1] + 1;
    }
    int loaded = last.batch;
    if (top_k && top_p) {
      const float enough_of_k = row.row.top_p * total;
      last = find(last, loaded, 0, [&](float sum) { return sum >= enough_of_k; });
      total = shared.sums[last.i];
    }
    const float target = unit() * total;
    const Place place = find(last, loaded, 1, [&](float sum) { return sum > target; });
    return id_of_key(shared.best.keys[place.i]);
  }
};

// The first id whose logit is `top`, the largest.
__device__ int first_with(const SampleParams& p, const SampleRow& row, const float* z_max,
                          float top) {
  __shared__ int id;
  int chunk = 0;
  while (z_max[chunk] != top) ++chunk;
  const int first = chunk * kSampleChunk;
  if (threadIdx.x == 0) id = p.vocab_size;
  __syncthreads();  // id has a value
  for (int i = static_cast<int>(threadIdx.x); i < chunk_length(p, chunk); i += kDrawThreads) {
    if (row.z[first + i] == top) atomicMin(&id, first + i);
  }
  __syncthreads();  // the lowest id is written
  return id;
}

__device__ int sampled_id(const SampleParams& p, const SampleRow& row, DrawShared& shared) {
  const int64_t first_chunk = row.in_run * p.n_chunks;
  const float* z_max = p.z_max + first_chunk;
  const float top = max_of_chunks(z_max, p.n_chunks);
  if (top < -FLT_MAX) return 0;  // every id is banned
  if (row.row.temperature == 0.0f) return first_with(p, row, z_max, top);
  const Weights weights(row.row, top);
  const Draw draw{p, row, weights, z_max, p.p_sums + first_chunk, shared};
  const bool sorted = has_top_k(row.row, p.vocab_size) || has_top_p(row.row);
  return sorted ? draw.sorted() : draw.by_id();
}

// The log-probabilities of the raw logits: the best ones, and that of the sampled id.
__device__ void write_logprobs(const SampleParams& p, const SampleRow& row, float max, int id,
                               DrawShared& shared) {
  const int64_t first_chunk = row.in_run * p.n_chunks;
  const float log_sum = contract_log(sum_neighbours(shared, p.raw_sums + first_chunk, p.n_chunks));
  const auto logprob = [&](float raw) { return (raw - max) - log_sum; };
  int n = row.row.n_logprobs < kMaxTopLogprobs ? row.row.n_logprobs : kMaxTopLogprobs;
  n = n < p.vocab_size ? n : p.vocab_size;
  if (n > 0) best_keys(row.raw, p.raw_max + first_chunk, p.vocab_size, 0, n, shared.best);
  const int i = static_cast<int>(threadIdx.x);
  if (i < n) {
    const int best = id_of_key(shared.best.keys[i]);
    p.top_ids[row.idx * p.top_ids_stride + i] = best;
    p.top_logprobs[row.idx * p.top_logprobs_stride + i] = logprob(row.raw[best]);
  }
  if (i == 0) p.logprobs[row.idx] = logprob(row.raw[id]);
}

// Grid: row of the run.
__global__ void __launch_bounds__(kDrawThreads) draw_row(const __grid_constant__ SampleParams p) {
  __shared__ DrawShared shared;
  const SampleRow row(p, static_cast<int>(blockIdx.x));
  const float max = max_of_chunks(p.raw_max + row.in_run * p.n_chunks, p.n_chunks);
  const bool finite = max == max;
  const int id = finite ? sampled_id(p, row, shared) : 0;
  if (threadIdx.x == 0) {
    p.finite[row.idx] = finite ? 1 : 0;
    p.ids[row.idx] = id;
    p.token_ids[row.row.seq_slot * p.token_stride + row.row.n_known] = id;
  }
  if (!finite || row.row.n_logprobs < 0) return;
  write_logprobs(p, row, max, id, shared);
}

}  // namespace

void draw_ids(const SampleParams& p, int n_rows, cudaStream_t stream) {
  launch(draw_row, dim3(static_cast<unsigned>(n_rows)), kDrawThreads, stream, p);
}

}  // namespace lockstep::cuda
