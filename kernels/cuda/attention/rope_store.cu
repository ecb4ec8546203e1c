// RoPE and the write to the KV cache. A warp takes one piece of work of one token: either a query
// head, which is rotated in place, or 32 values of K or V of one head, which are rotated (K),
// rounded and written to the token's slot. V of whole-number dtypes has one scale for a whole head,
// which is one piece then.
#include "kernels/cuda/attention/kv_plane.cuh"
#include "kernels/cuda/attention/whole_numbers.cuh"
#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;

struct RopeParams {
  float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  const int32_t* positions = nullptr;
  const int32_t* slot_mapping = nullptr;
  const float* cos_sin = nullptr;  // [max_positions, n_pairs, 2]
  int64_t cos_sin_stride = 0;
  int max_positions = 0;
  int n_pairs = 0;
  bool neighbours = true;  // RopeStyle
  int n_heads = 0;
  KvParams kv;

  __host__ __device__ int pieces_of_head() const {
    return (kv.head_dim + kWarpSize - 1) / kWarpSize;
  }
};

// The two dims of a pair.
struct Pair {
  int first, second;
};
__device__ inline Pair pair_at(const RopeParams& p, int i) {
  return p.neighbours ? Pair{2 * i, 2 * i + 1} : Pair{i, i + p.n_pairs};
}

__device__ inline float rotated_first(float a, float b, float cos, float sin) {
  return fmaf(a, cos, -(b * sin));
}
__device__ inline float rotated_second(float a, float b, float cos, float sin) {
  return fmaf(b, cos, a * sin);
}

__device__ void rotate_head(const RopeParams& p, float* x, const float* cos_sin, int lane) {
  for (int i = lane; i < p.n_pairs; i += kWarpSize) {
    const Pair pair = pair_at(p, i);
    const float a = x[pair.first], b = x[pair.second];
    const float cos = cos_sin[2 * i], sin = cos_sin[2 * i + 1];
    x[pair.first] = rotated_first(a, b, cos, sin);
    x[pair.second] = rotated_second(a, b, cos, sin);
  }
}

// Dim d of a head after rotation. The head itself is not changed.
__device__ float rotated(const RopeParams& p, const float* x, const float* cos_sin, int d) {
  if (d >= 2 * p.n_pairs) return x[d];
  const int i = p.neighbours ? d / 2 : d % p.n_pairs;
  const Pair pair = pair_at(p, i);
  const float a = x[pair.first], b = x[pair.second];
  const float cos = cos_sin[2 * i], sin = cos_sin[2 * i + 1];
  return d == pair.first ? rotated_first(a, b, cos, sin) : rotated_second(a, b, cos, sin);
}

// The 32 values of K that a warp holds; x is 0 in lanes behind the last dim.
__device__ void store_whole_k(const RopeParams& p, const WholePlane& plane, int slot, int d,
                              float x) {
  const WholeScale s = whole_scale(warp_max_or_nan(fabsf(x)), kMaxWholeKey);
  const int q = whole_number(x, s.inverse);
  const int next = __shfl_xor_sync(kAllLanes, q, 1);
  if (d % kBlockLen == 0) plane.k_scales[d / kBlockLen * p.kv.block_size + slot] = s.scale;
  if (d % 2 != 0 || d >= p.kv.head_dim) return;
  reinterpret_cast<uint32_t*>(plane.k)[d / 2 * p.kv.block_size + slot] =
      (static_cast<uint32_t>(q) & 0xffffu) | static_cast<uint32_t>(next) << 16;
}

// V of a head, of which a warp holds 32 neighbours at a time.
template <class Whole>
__device__ void store_whole_v(const RopeParams& p, const WholePlane& plane, int slot,
                              const float* x, float q_max) {
  constexpr int kSteps = kMaxHeadDim / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  float values[kSteps];
  float amax = 0.0f;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const int d = i * kWarpSize + lane;
    values[i] = d < p.kv.head_dim ? x[d] : 0.0f;
    amax = max_or_nan(amax, fabsf(values[i]));
  }
  const WholeScale s = whole_scale(warp_max_or_nan(amax), q_max);
  if (lane == 0) plane.v_scales[slot] = s.scale;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const int d = i * kWarpSize + lane;
    if (d >= p.kv.head_dim) break;
    reinterpret_cast<Whole*>(plane.v)[slot * p.kv.head_dim + d] =
        static_cast<Whole>(whole_number(values[i], s.inverse));
  }
}

// A head of K or V of a token is so many pieces of work.
template <DType dtype>
__host__ __device__ constexpr int pieces_of_v(const RopeParams& p) {
  return is_whole_number_kv(dtype) ? 1 : p.pieces_of_head();
}

template <DType dtype>
__global__ void __launch_bounds__(kThreads) rotate_and_store(const __grid_constant__ RopeParams p) {
  const int64_t token = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  int work = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / kWarpSize;
  const int position = p.positions[token];
  int slot = p.slot_mapping[token];
  device_check(position >= 0 && position < p.max_positions);
  device_check(slot >= 0 && slot / p.kv.block_size < p.kv.n_blocks);
  const float* cos_sin = p.cos_sin + position * p.cos_sin_stride;
  const int head_dim = p.kv.head_dim;

  if (work < p.n_heads) {
    return rotate_head(p, p.q + token * p.q_stride + work * head_dim, cos_sin, lane);
  }
  work -= p.n_heads;
  const int n_k_pieces = p.kv.n_kv_heads * p.pieces_of_head();
  const bool is_v = work >= n_k_pieces;
  const int pieces = is_v ? pieces_of_v<dtype>(p) : p.pieces_of_head();
  const int piece = is_v ? work - n_k_pieces : work;
  const int head = piece / pieces;
  if (head >= p.kv.n_kv_heads) return;
  const int d = piece % pieces * kWarpSize + lane;
  const int block = slot / p.kv.block_size;
  slot %= p.kv.block_size;
  const float* x = is_v ? p.v + token * p.v_stride : p.k + token * p.k_stride;
  x += head * head_dim;
  if constexpr (is_whole_number_kv(dtype)) {
    using Value = std::conditional_t<dtype == DType::kK16V8, int8_t, int16_t>;
    const WholePlane plane = whole_plane(p.kv, block, head);
    if (is_v) return store_whole_v<Value>(p, plane, slot, x, max_whole_value(dtype));
    store_whole_k(p, plane, slot, d, d < head_dim ? rotated(p, x, cos_sin, d) : 0.0f);
  } else {
    const Plane plane = is_v ? v_plane(p.kv, block, head) : k_plane(p.kv, block, head);
    const float value = d >= head_dim ? 0.0f : is_v ? x[d] : rotated(p, x, cos_sin, d);
    store_kv<dtype>(plane, slot, d, head_dim, value);
  }
}

}  // namespace

void rope_store(const RopeStoreArgs& args, cudaStream_t stream) {
  RopeParams p;
  p.q = static_cast<float*>(args.q.data);
  p.k = static_cast<const float*>(args.k.data);
  p.v = static_cast<const float*>(args.v.data);
  p.q_stride = args.q.row_stride;
  p.k_stride = args.k.row_stride;
  p.v_stride = args.v.row_stride;
  p.positions = static_cast<const int32_t*>(args.positions.data);
  p.slot_mapping = static_cast<const int32_t*>(args.slot_mapping.data);
  p.cos_sin = static_cast<const float*>(args.cos_sin.data);
  p.cos_sin_stride = args.cos_sin.row_stride;
  p.max_positions = static_cast<int>(args.cos_sin.shape[0]);
  p.n_pairs = static_cast<int>(args.cos_sin.shape[1]);
  p.neighbours = args.style == RopeStyle::kNeighbours;
  p.n_heads = static_cast<int>(args.q.shape[1]);
  p.kv = kv_params(args.kv);
  CHECK(p.kv.head_dim <= kMaxHeadDim);
  for_kv_dtype(args.kv.dtype, [&]<DType dtype>() {
    const int n_work = p.n_heads + p.kv.n_kv_heads * (p.pieces_of_head() + pieces_of_v<dtype>(p));
    const dim3 grid(static_cast<unsigned>(args.q.n_rows()), blocks_for(n_work, kWarps));
    launch(rotate_and_store<dtype>, grid, kThreads, stream, p);
  });
}

}  // namespace lockstep::cuda
