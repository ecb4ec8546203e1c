// rope_store, cut over tokens. The rows of a token are rotated, then rounded into the token's slot
// of the KV cache: K with a stride (its plane is [head_dim][block_size]), V as one run.
#include <algorithm>
#include <cstring>

#include "common/check.h"
#include "kernels/cpu/attention/kv_type.h"
#include "kernels/cpu/attention/rope_row.h"
#include "kernels/cpu/attention/rope_row_impl.h"
#include "kernels/cpu/simd/fast_ops.h"
#include "kernels/cpu/simd/simd_portable.h"
#include "kernels/index_checks.h"
#include "kernels/kv_layout.h"

namespace lockstep {
namespace {

constexpr int64_t kMinTokens = 8;  // per run; fewer are not worth waking a thread

// One slot of the KV cache.
struct Slot {
  int64_t block;
  int64_t offset;
};

class TokenRope {
 public:
  TokenRope(const RopeStoreArgs& args, const RopeRow& loops, int64_t token)
      : args_(args), loops_(loops), token_(token), n_pairs_(args.cos_sin.shape[1]) {
    check_rope_row(args, token);
    const int64_t position = *args.positions.row<int32_t>(token);
    const int64_t slot = *args.slot_mapping.row<int32_t>(token);
    slot_ = {slot / args.kv.block_size, slot % args.kv.block_size};
    cos_sin_ = args.cos_sin.row<float>(position);
    for (int64_t i = 0; i < n_pairs_; ++i) {
      cos_[i] = cos_sin_[2 * i];
      sin_[i] = cos_sin_[2 * i + 1];
    }
  }

  void run() const {
    const int head_dim = args_.kv.head_dim;
    for (int64_t head = 0; head < args_.q.shape[1]; ++head) {
      rotate(args_.q.row<float>(token_) + head * head_dim);
    }
    for (int head = 0; head < args_.kv.n_kv_heads; ++head) {
      float k[kMaxHeadDim];
      std::copy_n(args_.k.row<float>(token_) + head * head_dim, head_dim, k);
      rotate(k);
      store(head, k, args_.v.row<float>(token_) + head * head_dim);
    }
  }

 private:
  void rotate(float* x) const {
    if (args_.style == RopeStyle::kNeighbours) {
      loops_.rotate_neighbours(x, cos_sin_, n_pairs_);
    } else {
      loops_.rotate_halves(x, cos_, sin_, n_pairs_);
    }
  }

  void store(int head, const float* k, const float* v) const {
    switch (args_.kv.dtype) {
      case DType::kF32:
        put(head, k, v);
        break;
      case DType::kQ8_0:
        store_q8(head, k, v);
        break;
      case DType::kK16V8:
        store_whole<int8_t>(head, k, v);
        break;
      case DType::kK16V16:
        store_whole<int16_t>(head, k, v);
        break;
      default:
        uint16_t rounded[2][kMaxHeadDim];
        const KvType type = kv_type(args_.kv.dtype);
        loops_.round_row(k, args_.kv.head_dim, type, rounded[0]);
        loops_.round_row(v, args_.kv.head_dim, type, rounded[1]);
        put(head, rounded[0], rounded[1]);
    }
  }

  void store_q8(int head, const float* k, const float* v) const {
    constexpr int kMaxScales = kMaxHeadDim / kBlockLen;
    int8_t q[2][kMaxHeadDim];
    uint16_t scales[2][kMaxScales];
    quantize_kv_row(k, args_.kv.head_dim, q[0], scales[0]);
    quantize_kv_row(v, args_.kv.head_dim, q[1], scales[1]);
    put(head, q[0], q[1]);
    const KvHeadBlock pages = kv_head_block(args_.kv, slot_.block, head);
    const int64_t n_values = int64_t{args_.kv.block_size} * args_.kv.head_dim;
    put_into({pages.k + n_values, pages.v + n_values}, args_.kv.head_dim / kBlockLen, scales[0],
             scales[1]);
  }

  template <class V>
  void store_whole(int head, const float* k, const float* v) const {
    const WholeHeadBlock at = whole_head_block(args_.kv, slot_.block, head);
    const int size = args_.kv.block_size;
    const int head_dim = args_.kv.head_dim;
    int16_t q[kMaxHeadDim];
    for (int d = 0; d < head_dim; d += kBlockLen) {
      const int n = std::min<int>(kBlockLen, head_dim - d);
      at.k_scales[d / kBlockLen * size + slot_.offset] =
          loops_.quantize_row(k + d, n, kMaxWholeKey, q + d);
    }
    for (int d = 0; d < head_dim; d += 2) {
      std::memcpy(at.k + d * size + 2 * slot_.offset, q + d, 2 * sizeof *q);
    }
    at.v_scales[slot_.offset] =
        loops_.quantize_row(v, head_dim, max_whole_value(args_.kv.dtype), q);
    std::copy_n(q, head_dim, reinterpret_cast<V*>(at.v) + slot_.offset * head_dim);
  }

  template <class T>
  void put(int head, const T* k, const T* v) const {
    put_into(kv_head_block(args_.kv, slot_.block, head), args_.kv.head_dim, k, v);
  }

  template <class T>
  void put_into(const KvHeadBlock& to, int n, const T* k, const T* v) const {
    T* column = reinterpret_cast<T*>(to.k) + slot_.offset;
    for (int d = 0; d < n; ++d) column[int64_t{d} * args_.kv.block_size] = k[d];
    std::memcpy(to.v + slot_.offset * n * sizeof(T), v, static_cast<size_t>(n) * sizeof(T));
  }

  const RopeStoreArgs& args_;
  const RopeRow& loops_;
  const int64_t token_;
  const int64_t n_pairs_;
  const float* cos_sin_;  // row of the token's position
  Slot slot_;
  float cos_[kMaxHeadDim / 2];
  float sin_[kMaxHeadDim / 2];
};

void run(const RopeStoreArgs& args, const RopeRow& loops, ThreadTeam& team) {
  CHECK(args.kv.head_dim <= kMaxHeadDim);
  team.run_ranges(args.q.n_rows(), kMinTokens, [&](int64_t begin, int64_t end, int) {
    for (int64_t token = begin; token < end; ++token) TokenRope(args, loops, token).run();
  });
}

}  // namespace

void rotate_neighbours_portable(float* x, const float* cos_sin, int64_t n_pairs) {
  simd::rotate_neighbours<simd::Portable>(x, cos_sin, n_pairs);
}
void rotate_halves_portable(float* x, const float* cos, const float* sin, int64_t n_pairs) {
  simd::rotate_halves<simd::Portable>(x, cos, sin, n_pairs);
}
float quantize_whole_portable(const float* x, int n, float q_max, int16_t* q) {
  return simd::quantize_whole<simd::Portable>(x, n, q_max, q);
}
void round_row_portable(const float* x, int64_t n, KvType type, uint16_t* rounded) {
  simd::round_row<simd::Portable>(x, n, type, rounded);
}

void rope_store_portable(const RopeStoreArgs& args, ThreadTeam& team) {
  run(args,
      {rotate_neighbours_portable, rotate_halves_portable, quantize_whole_portable,
       round_row_portable},
      team);
}
void rope_store_avx2(const RopeStoreArgs& args, ThreadTeam& team) {
  run(args, {rotate_neighbours_avx2, rotate_halves_avx2, quantize_whole_avx2, round_row_avx2},
      team);
}
void rope_store_avx512(const RopeStoreArgs& args, ThreadTeam& team) {
  run(args,
      {rotate_neighbours_avx512, rotate_halves_avx512, quantize_whole_avx512, round_row_avx512},
      team);
}

}  // namespace lockstep
