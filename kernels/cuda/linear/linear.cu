// linear(): takes the arguments apart and chooses the kernel.
#include "kernels/cuda/linear/linear_params.cuh"

namespace lockstep::cuda {
namespace {

constexpr int64_t kMaxSkinnyTokens = 16;  // beyond, a tile of 32 costs less per token

// What the widest reads need.
constexpr int64_t kAlignment = 16;

bool is_aligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % kAlignment == 0; }

}  // namespace

LinearParams linear_params(const LinearArgs& args) {
  const PackedWeights& weights = args.weights;
  LinearParams p;
  p.weights = weights.data;
  CHECK(is_aligned(p.weights));
  p.bytes_per_panel = panel_bytes(weights);
  p.leaf_headers = static_cast<int>(leaf_header_bytes(weights.type, weights.leaf_k()));
  p.block_in_super = static_cast<int>(block_in_super(weights, 0));
  p.n_rows = static_cast<int>(weights.n_rows);
  p.n_panels = static_cast<int>(blocks_for(weights.n_rows, kPanelRows));
  p.n_tokens = static_cast<int>(args.out.shape[1]);
  p.leaf_k = weights.leaf_k();
  if (is_quantized(weights.type)) {
    CHECK(weights.layout == PackedLayout::kFragments);
    const QuantizedActs& x = args.x.quantized;
    p.q = static_cast<const int8_t*>(x.q.data);
    p.scale = static_cast<const float*>(x.scale.data);
    p.sum = static_cast<const float*>(x.sum.data);
    p.q_stride = x.q.row_stride;
    p.scale_stride = x.scale.row_stride;
    p.sum_stride = x.sum.row_stride;
    CHECK(is_aligned(p.q) && p.q_stride % kAlignment == 0);
  } else {
    p.x = static_cast<const float*>(args.x.f32.data);
    p.x_stride = args.x.f32.row_stride;
  }
  if (args.bias) p.bias = args.bias.row<float>(0);
  p.out = static_cast<float*>(args.out.data);
  p.out_stride = args.out.row_stride;
  p.out_token_stride = args.out_token_stride != 0 ? args.out_token_stride : weights.n_rows;
  return p;
}

void linear(const LinearArgs& args, const StreamScratch& scratch, int n_sms, cudaStream_t stream) {
  if (args.out.shape[1] == 0 || args.weights.n_rows == 0) return;
  if (!is_quantized(args.weights.type)) return linear_float(args, n_sms, stream);
  if (args.out.shape[1] > kMaxSkinnyTokens && linear_tiled(args, scratch, n_sms, stream)) return;
  linear_skinny(args, n_sms, stream);
}

}  // namespace lockstep::cuda
