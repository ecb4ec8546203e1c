// RoPE (docs/numerics.md section 3), then the rounding of K and V to the KV dtype (section 4, item
// 1).
#include <cmath>
#include <vector>

#include "kernels/index_checks.h"
#include "kernels/reference/kv_slots.h"
#include "kernels/reference/reference_ops.h"

namespace lockstep::reference {
namespace {

// Rotates one head in place; dims from 2 * n_pairs on pass through.
void rotate(float* x, const float* cos_sin, int64_t n_pairs, RopeStyle style) {
  for (int64_t i = 0; i < n_pairs; ++i) {
    const float cos = cos_sin[2 * i];
    const float sin = cos_sin[2 * i + 1];
    float& first = style == RopeStyle::kNeighbours ? x[2 * i] : x[i];
    float& second = style == RopeStyle::kNeighbours ? x[2 * i + 1] : x[i + n_pairs];
    const float a = first;
    const float b = second;
    first = std::fma(a, cos, -(b * sin));
    second = std::fma(b, cos, a * sin);
  }
}

}  // namespace

void rope_store(const RopeStoreArgs& args) {
  const int64_t head_dim = args.kv.head_dim;
  const int64_t n_heads = args.q.row_size() / head_dim;
  const int64_t n_pairs = args.cos_sin.shape[1];
  std::vector<float> k(static_cast<size_t>(head_dim));
  for (int64_t token = 0; token < args.q.n_rows(); ++token) {
    check_rope_row(args, token);
    const float* cos_sin = args.cos_sin.row<float>(*args.positions.row<int32_t>(token));
    const int64_t slot = *args.slot_mapping.row<int32_t>(token);
    for (int64_t head = 0; head < n_heads; ++head) {
      rotate(args.q.row<float>(token) + head * head_dim, cos_sin, n_pairs, args.style);
    }
    for (int head = 0; head < args.kv.n_kv_heads; ++head) {
      const float* k_in = args.k.row<float>(token) + head * head_dim;
      k.assign(k_in, k_in + head_dim);
      rotate(k.data(), cos_sin, n_pairs, args.style);
      store_slot(args.kv, slot, head, k.data(), args.v.row<float>(token) + head * head_dim);
    }
  }
}

}  // namespace lockstep::reference
