// What the kernels of the sampler share: their parameters, the scratch of a row, and the rules of
// docs/numerics.md section 5 that more than one of them needs.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/sampling.h"

namespace lockstep::cuda {

inline constexpr int kMaxSampleChunks = 512;  // chunks of kSampleChunk ids in a row

struct SampleParams {
  float* logits = nullptr;  // [n_rows, vocab_size]
  int64_t logits_stride = 0;
  int vocab_size = 0;
  int n_chunks = 0;  // of kSampleChunk ids
  const SamplingRow* rows = nullptr;
  const int32_t* banned = nullptr;
  int n_banned = 0;
  int32_t* token_ids = nullptr;
  int64_t token_stride = 0;
  int n_slots = 0, max_positions = 0;
  int32_t* ids = nullptr;
  float* logprobs = nullptr;
  int32_t* top_ids = nullptr;  // [n_rows, kMaxTopLogprobs]
  int64_t top_ids_stride = 0;
  float* top_logprobs = nullptr;
  int64_t top_logprobs_stride = 0;
  uint8_t* finite = nullptr;

  int first_row = 0;          // of this run; scratch is indexed by the row of the run
  float* raw_max = nullptr;   // [run, n_chunks]; NaN where a logit is not finite
  float* z_max = nullptr;     // [run, n_chunks], after penalties and bans
  float* raw_sums = nullptr;  // [run, n_chunks], of exp(raw - the largest raw)
  float* p_sums = nullptr;    // [run, n_chunks], of the weights
  float* z = nullptr;         // [run, vocab_size] logits after penalties and bans; null if no row
  int32_t* counts = nullptr;  // [run, vocab_size] of ids in the output   of the step has any
};

// Whether the row's logits are changed before it is sampled. The changed ones are in scratch.
__device__ inline bool is_changed(const SamplingRow& row) {
  return has_penalties(row) || (row.min_tokens_left > 0 && row.n_banned > 0);
}

// One row of the run.
struct SampleRow {
  int64_t idx;     // of the step
  int64_t in_run;  // of the run
  SamplingRow row;
  const float* raw;
  const float* z;

  __device__ SampleRow(const SampleParams& p, int run_row)
      : idx(p.first_row + run_row),
        in_run(run_row),
        row(p.rows[idx]),
        raw(p.logits + idx * p.logits_stride),
        z(is_changed(row) ? p.z + in_run * p.vocab_size : raw) {
    device_check(row.seq_slot >= 0 && row.seq_slot < p.n_slots);
    device_check(row.n_known >= 0 && row.n_known < p.max_positions);
    device_check(row.banned_first >= 0 && row.n_banned >= 0);
    device_check(row.n_banned == 0 || int64_t{row.banned_first} + row.n_banned <= p.n_banned);
  }
};

__device__ inline int chunk_length(const SampleParams& p, int chunk) {
  const int left = p.vocab_size - chunk * kSampleChunk;
  return left < kSampleChunk ? left : kSampleChunk;
}

// The largest of the chunks' maxima; NaN if one is NaN. All lanes of a warp must call it together.
__device__ inline float max_of_chunks(const float* maxima, int n_chunks) {
  float m = maxima[0];
  for (int i = static_cast<int>(threadIdx.x) % kWarpSize; i < n_chunks; i += kWarpSize) {
    m = max_or_nan(m, maxima[i]);
  }
  return warp_max_or_nan(m);
}

// The weights of a row. Banned ids, whose z is -Inf, have weight 0.
struct Weights {
  float top, temperature, least_x;
  __device__ Weights(const SamplingRow& row, float top_z)
      : top(top_z), temperature(row.temperature), least_x(-kInfinity) {
    if (row.min_p >= FLT_MIN) least_x = row.min_p < 1.0f ? contract_log(row.min_p) : 0.0f;
  }
  __device__ float x(float z) const { return (z - top) / temperature; }
  __device__ float p(float z) const {
    const float at = x(z);
    return at >= least_x ? contract_exp(at) : 0.0f;
  }
};

// The kernels in the order in which they are launched.
void scan_logits(const SampleParams& p, int n_rows, cudaStream_t stream);
void change_logits(const SampleParams& p, int n_rows, cudaStream_t stream);
void sum_chunks(const SampleParams& p, int n_rows, cudaStream_t stream);
void draw_ids(const SampleParams& p, int n_rows, cudaStream_t stream);

}  // namespace lockstep::cuda
