// Embedding: dequantised rows of a packed table (docs/numerics.md section 3). A warp takes one
// block of 32 values of one token, a value per warp lane. The table may have either layout of
// packed weights, since an output head can be the same matrix.
#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/float16.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"
#include "kernels/layout/fragment_layout.h"
#include "kernels/layout/packed_layout.h"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpSize;

struct EmbedParams {
  const int32_t* ids = nullptr;
  int64_t first_row = 0, n_rows = 0;  // of this rank
  const std::byte* table = nullptr;
  int64_t bytes_per_panel = 0;
  int leaf_headers = 0;    // K-quants: bytes before the blocks of a leaf
  int block_in_super = 0;  // K-quants: index of the first block in its super-block
  PackedLayout layout = PackedLayout::kRows;
  int k = 0;
  int leaf_k = 0;
  int n_blocks = 0;  // blocks of a leaf
  int n_lanes = 0;   // lanes of a leaf
  int last_len = 0;  // values of the last block of a leaf
  float scale = 1.0f;
  float* out = nullptr;
  int64_t out_stride = 0;
};

// LeafCut::values_before() in 32-bit numbers: the values of a leaf that precede block b in summing
// order.
__device__ inline int values_before(const EmbedParams& p, int b) {
  const auto place = [&](int block) {
    const int lane = block % p.n_lanes;
    const int n_odd = p.n_blocks % p.n_lanes;  // the first n_odd lanes have one block more
    return lane * (p.n_blocks / p.n_lanes) + (lane < n_odd ? lane : n_odd) + block / p.n_lanes;
  };
  const int before = place(b);
  const bool after_last = before > place(p.n_blocks - 1);
  return before * kBlockLen - (after_last ? kBlockLen - p.last_len : 0);
}

template <WeightType type>
__device__ inline float float_value(const std::byte* values, int i) {
  if constexpr (type == WeightType::kF32) return reinterpret_cast<const float*>(values)[i];
  const unsigned short bits = reinterpret_cast<const unsigned short*>(values)[i];
  return type == WeightType::kF16 ? f16_value(bits) : bf16_value(bits);
}

__device__ inline float f16_at(const std::byte* data) {
  return f16_value(*reinterpret_cast<const unsigned short*>(data));
}

// A quantised weight, its offset subtracted, with its scale and minimum.
struct Weight {
  int q;
  float scale, min;
};

// Value k of one row of a block in PackedLayout::kRows.
template <WeightType type>
__device__ inline Weight weight_in_rows(const std::byte* block, int row, int k) {
  Weight w{row_quant(type, reinterpret_cast<const uint8_t*>(block), row, k),
           f16_at(block + 2 * row), 0.0f};
  if constexpr (has_min(type)) w.min = f16_at(block + block_layout(type).min + 2 * row);
  return w;
}

template <WeightType type>
__device__ inline Weight weight_in_fragments(const std::byte* block, int row, int k) {
  Weight w{fragment_quant(type, reinterpret_cast<const uint8_t*>(block), row, k),
           f16_at(block + fragment_scale(type, row)), 0.0f};
  if constexpr (has_min(type)) w.min = f16_at(block + fragment_min(type, row));
  return w;
}

// Value k of one row of a K-quant, times its integer scale.
template <WeightType type>
__device__ inline Weight k_quant(PackedLayout layout, const std::byte* block,
                                 const std::byte* header, int row, int k) {
  const bool in_rows = layout == PackedLayout::kRows;
  const auto* bytes = reinterpret_cast<const uint8_t*>(block);
  const auto scale = [&](int i) {
    return bytes[in_rows ? i * kPanelRows + row : fragment_k_scale(type, row, i)];
  };
  const std::byte* d = header + (in_rows ? 2 * row : fragment_f16(type, row));
  Weight w{in_rows ? row_quant(type, bytes, row, k) : fragment_quant(type, bytes, row, k),
           f16_at(d), 0.0f};
  if constexpr (has_min(type)) {
    w.q *= scale(0);
    w.min = f16_at(d + (in_rows ? 2 * kPanelRows : 4)) * static_cast<float>(scale(1));
  } else {
    w.q *= static_cast<int8_t>(scale(k / 16));
  }
  return w;
}

// Value k of block b of a leaf of a panel. `data`: the block, where no headers are in the panel.
template <WeightType type>
__device__ inline Weight weight_of(const EmbedParams& p, const std::byte* panel,
                                   const std::byte* data, int leaf, int b, int row, int k) {
  if constexpr (is_k_quant(type)) {
    const int before = leaf * p.n_blocks;  // blocks of earlier leaves
    const int super = ((p.block_in_super + before) % kBlocksPerSuper + b) / kBlocksPerSuper;
    const std::byte* headers =
        panel + int64_t{leaf} * p.leaf_headers + int64_t{before} * fragment_layout(type).bytes;
    return k_quant<type>(p.layout, data + int64_t{leaf + 1} * p.leaf_headers,
                         headers + super * header_bytes(type), row, k);
  } else {
    return p.layout == PackedLayout::kRows ? weight_in_rows<type>(data, row, k)
                                           : weight_in_fragments<type>(data, row, k);
  }
}

// Grid: token, run of kWarps blocks of values.
template <WeightType type>
__global__ void __launch_bounds__(kThreads) embed_rows(const __grid_constant__ EmbedParams p) {
  constexpr int kBytesPerValue = static_cast<int>(block_layout(type).bytes) / kBlockLen;
  const int64_t token = blockIdx.x;
  // The warp's block, and the place of the lane's value in it, counted in columns.
  const int block = static_cast<int>(blockIdx.y * kWarps + threadIdx.x / kWarpSize);
  const int leaf = block / p.n_blocks;
  const int b = block % p.n_blocks;
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int d = leaf * p.leaf_k + b * kBlockLen + lane;
  if (d >= p.k || lane >= (b == p.n_blocks - 1 ? p.last_len : kBlockLen)) return;
  const int64_t row = p.ids[token] - p.first_row;
  float y = 0.0f;
  if (row >= 0 && row < p.n_rows) {
    const int values = leaf * p.leaf_k + values_before(p, b);
    const std::byte* panel = p.table + row / kPanelRows * p.bytes_per_panel;
    const std::byte* data = panel + static_cast<int64_t>(values) * kBytesPerValue;
    const int panel_row = static_cast<int>(row % kPanelRows);
    if constexpr (is_quantized(type)) {
      const Weight w = weight_of<type>(p, panel, data, leaf, b, panel_row, lane);
      const auto q = static_cast<float>(w.q);
      y = has_min(type) ? fmaf(w.scale, q, w.min) : w.scale * q;
    } else {
      y = float_value<type>(data, lane * kPanelRows + panel_row);
    }
    y = y * p.scale + 0.0f;
  }
  p.out[token * p.out_stride + d] = y;
}

template <class Fn>
void for_weight_type(WeightType type, const Fn& fn) {
  switch (type) {
    case WeightType::kF32:
      return fn.template operator()<WeightType::kF32>();
    case WeightType::kF16:
      return fn.template operator()<WeightType::kF16>();
    case WeightType::kBF16:
      return fn.template operator()<WeightType::kBF16>();
    case WeightType::kQ8_0:
      return fn.template operator()<WeightType::kQ8_0>();
    case WeightType::kQ4_0:
      return fn.template operator()<WeightType::kQ4_0>();
    case WeightType::kQ4_1:
      return fn.template operator()<WeightType::kQ4_1>();
    case WeightType::kQ5_0:
      return fn.template operator()<WeightType::kQ5_0>();
    case WeightType::kQ5_1:
      return fn.template operator()<WeightType::kQ5_1>();
    case WeightType::kQ4_K:
      return fn.template operator()<WeightType::kQ4_K>();
    case WeightType::kQ5_K:
      return fn.template operator()<WeightType::kQ5_K>();
    case WeightType::kQ6_K:
      return fn.template operator()<WeightType::kQ6_K>();
  }
}

}  // namespace

void embed(const EmbedArgs& args, cudaStream_t stream) {
  const LeafCut cut(args.table.leaf_k());
  EmbedParams p;
  p.ids = static_cast<const int32_t*>(args.ids.data);
  p.first_row = args.first_row;
  p.n_rows = args.table.n_rows;
  p.table = args.table.data;
  p.layout = args.table.layout;
  p.bytes_per_panel = panel_bytes(args.table);
  p.leaf_headers = static_cast<int>(leaf_header_bytes(args.table.type, args.table.leaf_k()));
  p.block_in_super = static_cast<int>(block_in_super(args.table, 0));
  p.k = static_cast<int>(args.table.k);
  p.leaf_k = static_cast<int>(args.table.leaf_k());
  p.n_blocks = static_cast<int>(cut.n_blocks);
  p.n_lanes = cut.n_lanes;
  p.last_len = cut.last_len;
  p.scale = args.scale;
  p.out = static_cast<float*>(args.out.data);
  p.out_stride = args.out.row_stride;
  const dim3 grid(static_cast<unsigned>(args.ids.shape[0]),
                  blocks_for(cut.n_blocks * args.table.leaves.n, kWarps));
  for_weight_type(args.table.type,
                  [&]<WeightType type>() { launch(embed_rows<type>, grid, kThreads, stream, p); });
}

}  // namespace lockstep::cuda
