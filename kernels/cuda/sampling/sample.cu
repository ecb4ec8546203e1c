// The sampler (docs/numerics.md section 5) in kernels over runs of rows:
//   scan_logits     the largest logit of every chunk of 1024 ids; a copy of rows that will change
//   change_logits   penalties and bans, on the copy (only if a row has any)
//   sum_chunks      the sums of the weights, and of exp for log-probabilities, of every chunk
//   draw_ids        the rest, a CUDA block per row: ids in sorted order where a row needs them
// The first and the third read the whole vocabulary and have a warp for each chunk, so that one row
// fills many SMs.
#include <algorithm>

#include "kernels/cuda/device/launches.h"
#include "kernels/cuda/sampling/sample_params.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kArraysOfChunks = 4;  // of SampleParams, each [n_chunks]

SampleParams params_of(const SampleArgs& args) {
  SampleParams p;
  p.logits = static_cast<float*>(args.logits.data);
  p.logits_stride = args.logits.row_stride;
  p.vocab_size = static_cast<int>(args.logits.shape[1]);
  p.n_chunks = static_cast<int>(blocks_for(p.vocab_size, kSampleChunk));
  p.rows = args.rows;
  p.banned = static_cast<const int32_t*>(args.banned.data);
  p.n_banned = static_cast<int>(args.banned.shape[0]);
  p.token_ids = static_cast<int32_t*>(args.token_ids.data);
  p.token_stride = args.token_ids.row_stride;
  p.n_slots = static_cast<int>(args.token_ids.n_rows());
  p.max_positions = static_cast<int>(args.token_ids.shape[1]);
  p.ids = static_cast<int32_t*>(args.ids.data);
  p.logprobs = static_cast<float*>(args.logprobs.data);
  p.top_ids = static_cast<int32_t*>(args.top_ids.data);
  p.top_ids_stride = args.top_ids.row_stride;
  p.top_logprobs = static_cast<float*>(args.top_logprobs.data);
  p.top_logprobs_stride = args.top_logprobs.row_stride;
  p.finite = static_cast<uint8_t*>(args.finite.data);
  return p;
}

}  // namespace

int64_t sample_scratch_floats(int64_t vocab_size) {
  return kArraysOfChunks * int64_t{blocks_for(vocab_size, kSampleChunk)} + 2 * vocab_size;
}

void sample(const SampleArgs& args, const StreamScratch& scratch, cudaStream_t stream) {
  const int64_t n_rows = args.logits.n_rows();
  if (n_rows == 0) return;
  SampleParams p = params_of(args);
  CHECK(p.vocab_size > 0 && p.n_chunks <= kMaxSampleChunks);
  const int64_t vocab_copies = args.needs.penalties ? 2 : 0;
  const int64_t floats_of_row =
      kArraysOfChunks * int64_t{p.n_chunks} + vocab_copies * int64_t{p.vocab_size};
  const int64_t rows_at_once =
      std::min<int64_t>({n_rows, scratch.n_floats / floats_of_row, kMaxGridRows});
  CHECK(rows_at_once > 0);
  float* next = scratch.data;
  const auto take = [&](int64_t n) {
    float* taken = next;
    next += rows_at_once * n;
    return taken;
  };
  p.raw_max = take(p.n_chunks);
  p.z_max = take(p.n_chunks);
  p.raw_sums = take(p.n_chunks);
  p.p_sums = take(p.n_chunks);
  if (args.needs.penalties) {
    p.z = take(p.vocab_size);
    p.counts = reinterpret_cast<int32_t*>(take(p.vocab_size));
  }
  for (int64_t row = 0; row < n_rows; row += rows_at_once) {
    p.first_row = static_cast<int>(row);
    const int n = static_cast<int>(std::min(rows_at_once, n_rows - row));
    scan_logits(p, n, stream);
    if (args.needs.penalties) change_logits(p, n, stream);
    sum_chunks(p, n, stream);
    draw_ids(p, n, stream);
  }
}

}  // namespace lockstep::cuda
