// Paged attention (docs/numerics.md section 4), in two kernels. Spans of 512 keys are independent
// of each other, so one long sequence fills the device:
//   attend_span   a CUDA block takes a span of rows and query heads of one KV head, and writes m, l
//                 and o of each to scratch (float_spans.cu, whole_spans.cu)
//   merge_spans   a CUDA block takes one row and head, and merges its spans in ascending order
// Scratch holds at most kMaxPassSpans spans of a row. Longer contexts take several passes; between
// passes the merged state stays in scratch. Rows that do not fit are taken in several runs. Neither
// changes a bit.
#include <algorithm>

#include "kernels/cuda/attention/spans.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kMaxPassSpans = kThreads;  // merging uses one thread per span

// The running maxima of all spans of a pass and the factors that follow from them. A maximum has no
// rounding, so the maxima are scanned in parallel, and only the sums are taken span by span. A
// thread is a span. m_before is the maximum of the state that the first span joins, if there is
// one. Writes rescale[0, n) and returns the maximum of all spans.
__device__ float scan_maxima(const AttentionParams& p, int run_row, int head, int first, int n,
                             bool joins_state, float m_before, Rescale (&rescale)[kMaxPassSpans]) {
  __shared__ float m_of_warp[kWarps];
  __shared__ float m_through[kMaxPassSpans];
  const int i = static_cast<int>(threadIdx.x);
  const int lane = i % kWarpSize;
  const float m_of_span = i < n ? *p.partial(run_row, head, first - p.first_span + i).m : 0.0f;
  float m = i == 0 && joins_state ? max_or_nan(m_before, m_of_span) : m_of_span;
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const float left = __shfl_up_sync(kAllLanes, m, static_cast<unsigned>(distance));
    if (lane >= distance) m = max_or_nan(left, m);
  }
  if (lane == kWarpSize - 1) m_of_warp[i / kWarpSize] = m;
  __syncthreads();  // the maximum of every warp is written
  for (int warp = 0; warp < i / kWarpSize; ++warp) m = max_or_nan(m_of_warp[warp], m);
  m_through[i] = m;
  __syncthreads();  // the maximum of every thread is written
  if (i < n) {
    const float before = i == 0 ? m_before : m_through[i - 1];
    rescale[i] = {contract_exp(before - m), contract_exp(m_of_span - m)};
  }
  __syncthreads();  // the factors are written
  return m_through[n - 1];
}

// Grid: head, row of the run.
__global__ void __launch_bounds__(kThreads) merge_spans(const __grid_constant__ AttentionParams p) {
  __shared__ Rescale rescale[kMaxPassSpans];
  const int head = static_cast<int>(blockIdx.x);
  const int run_row = static_cast<int>(blockIdx.y);
  const int row = p.first_row + run_row;
  const Keys keys = keys_of(p, row);
  const int first = keys.first_span() > p.first_span ? keys.first_span() : p.first_span;
  const int end_of_pass = p.first_span + p.n_pass_spans;
  const int end = keys.last_span() + 1 < end_of_pass ? keys.last_span() + 1 : end_of_pass;
  const int n = end - first;
  if (n <= 0) return;

  // The first span of a row is its first state.
  const bool joins_state = first > keys.first_span();
  const Partial state =
      joins_state ? p.state(run_row, head) : p.partial(run_row, head, first - p.first_span);
  const float m_before = *state.m, l_before = *state.l;
  const float m = scan_maxima(p, run_row, head, first, n, joins_state, m_before, rescale);

  const bool is_last = end == keys.last_span() + 1;
  for (int d = static_cast<int>(threadIdx.x); d < p.kv.head_dim; d += kThreads) {
    float l = l_before, o = state.o[d];
#pragma unroll 8
    for (int i = joins_state ? 0 : 1; i < n; ++i) {
      const Partial span = p.partial(run_row, head, first - p.first_span + i);
      l = fmaf(*span.l, rescale[i].joining, l * rescale[i].state);
      o = fmaf(span.o[d], rescale[i].joining, o * rescale[i].state);
    }
    if (is_last) {
      p.out[row * p.out_stride + head * p.kv.head_dim + d] = o * (1.0f / l);
      continue;
    }
    // Every thread has read m and l of the old state before the barriers of scan_maxima.
    const Partial kept = p.state(run_row, head);
    kept.o[d] = o;
    if (d == 0) {
      *kept.m = m;
      *kept.l = l;
    }
  }
}

AttentionParams params_of(const AttentionArgs& args) {
  AttentionParams p;
  p.q = static_cast<const float*>(args.q.data);
  p.q_stride = args.q.row_stride;
  p.positions = static_cast<const int32_t*>(args.positions.data);
  p.seq_of_token = static_cast<const int32_t*>(args.seq_of_token.data);
  p.block_tables = static_cast<const int32_t*>(args.block_tables.data);
  p.table_stride = args.block_tables.row_stride;
  p.n_seqs = static_cast<int>(args.block_tables.shape[0]);
  p.max_blocks = static_cast<int>(args.block_tables.shape[1]);
  p.scale = args.scale;
  p.window = static_cast<int>(std::min<int64_t>(args.window, INT32_MAX));
  p.out = static_cast<float*>(args.out.data);
  p.out_stride = args.out.row_stride;
  p.n_heads = static_cast<int>(args.q.shape[1]);
  p.heads_per_kv = p.n_heads / args.kv.n_kv_heads;
  p.kv = kv_params(args.kv);
  return p;
}

}  // namespace

void attention(const AttentionArgs& args, const StreamScratch& scratch, cudaStream_t stream) {
  AttentionParams p = params_of(args);
  CHECK(p.kv.head_dim <= kMaxHeadDim);
  const int64_t n_rows = args.q.n_rows();
  if (n_rows == 0) return;
  // The host does not see the positions, so it counts as many spans as the block tables can hold.
  const int n_spans = (p.max_blocks * p.kv.block_size + kSpanKeys - 1) / kSpanKeys;
  const int64_t floats_of_span = int64_t{p.n_heads} * partial_floats(p.kv.head_dim);
  const int64_t fits = scratch.n_floats / floats_of_span;  // spans of whole rows, states included
  CHECK(fits >= 2);
  // Fewer rows at once are better than more passes over each row, because a pass of few spans is
  // two small launches.
  const int64_t spans_wanted = std::min(n_spans, kMaxPassSpans);
  const int64_t rows_that_fit = std::max<int64_t>(fits / (1 + spans_wanted), 1);
  const int64_t rows_at_once = std::min<int64_t>({n_rows, rows_that_fit, kMaxGridRows});
  p.n_pass_spans = static_cast<int>(std::min(fits / rows_at_once - 1, spans_wanted));
  p.states = scratch.data;
  p.partials = p.states + rows_at_once * floats_of_span;
  for (int64_t row = 0; row < n_rows; row += rows_at_once) {
    p.first_row = static_cast<int>(row);
    p.n_rows = static_cast<int>(std::min(rows_at_once, n_rows - row));
    for (p.first_span = 0; p.first_span < n_spans; p.first_span += p.n_pass_spans) {
      const int n = std::min(p.n_pass_spans, n_spans - p.first_span);
      if (is_whole_number_kv(args.kv.dtype)) {
        attend_whole_spans(args.kv.dtype, p, n, stream);
      } else {
        attend_float_spans(args.kv.dtype, p, n, stream);
      }
      const dim3 heads(static_cast<unsigned>(p.n_heads), static_cast<unsigned>(p.n_rows));
      launch(merge_spans, heads, kThreads, stream, p);
    }
  }
}

}  // namespace lockstep::cuda
