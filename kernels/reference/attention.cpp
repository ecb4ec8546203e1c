// Attention, docs/numerics.md section 4: a row and head takes its visible keys in tiles of 64 and
// merges the tiles in ascending order.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/index_checks.h"
#include "kernels/math.h"
#include "kernels/reference/kv_slots.h"
#include "kernels/reference/reference_ops.h"
#include "kernels/reference/strided_sum.h"

namespace lockstep::reference {
namespace {

constexpr int64_t kTileKeys = 64;

// The larger of both values; NaN if either is NaN.
float max_or_nan(float a, float b) {
  if (a != a || b != b) return a + b;
  return a > b ? a : b;
}

// The result of a run of keys: m is the largest score, l the sum of the weights exp(s - m), and
// o / l the mean of V under these weights.
struct Partial {
  float m = 0.0f;
  float l = 0.0f;
  std::vector<float> o;  // [head_dim]
};

// One query head of one row over the keys of its sequence.
class RowAttention {
 public:
  RowAttention(const AttentionArgs& args, int64_t token, int64_t head)
      : args_(args),
        position_(*args.positions.row<int32_t>(token)),
        first_key_(args.window == 0 ? 0 : std::max<int64_t>(0, position_ - args.window + 1)),
        blocks_(args.block_tables.row<int32_t>(*args.seq_of_token.row<int32_t>(token))),
        kv_head_(static_cast<int>(head / (args.q.shape[1] / args.kv.n_kv_heads))),
        q_(args.q.row<float>(token) + head * args.kv.head_dim) {}

  void run(float* out) const {
    Partial state = tile(first_key_ / kTileKeys);
    for (int64_t t = first_key_ / kTileKeys + 1; t <= position_ / kTileKeys; ++t) {
      merge(tile(t), state);
    }
    const float inverse = 1.0f / state.l;
    for (size_t d = 0; d < state.o.size(); ++d) out[d] = state.o[d] * inverse;
  }

 private:
  Partial tile(int64_t t) const {
    const int64_t begin = std::max(first_key_, t * kTileKeys);
    const int64_t end = std::min(position_ + 1, (t + 1) * kTileKeys);
    const size_t head_dim = static_cast<size_t>(args_.kv.head_dim);
    std::vector<float> k(head_dim);
    std::vector<float> v(head_dim);
    std::vector<float> scores;
    for (int64_t key = begin; key < end; ++key) {
      load_slot(args_.kv, slot_of(key), kv_head_, k.data(), v.data());
      float s = 0.0f;
      for (size_t d = 0; d < head_dim; ++d) s = std::fma(q_[d], k[d], s);
      scores.push_back(s * args_.scale);
    }
    Partial partial{scores[0], 0.0f, std::vector<float>(head_dim, 0.0f)};
    for (float s : scores) partial.m = max_or_nan(partial.m, s);
    StridedSum sum;
    for (int64_t key = begin; key < end; ++key) {
      const float p = exp(scores[static_cast<size_t>(key - begin)] - partial.m);
      sum.lane(key % kTileKeys) += p;
      load_slot(args_.kv, slot_of(key), kv_head_, k.data(), v.data());
      for (size_t d = 0; d < head_dim; ++d) partial.o[d] = std::fma(p, v[d], partial.o[d]);
    }
    partial.l = sum.total();
    return partial;
  }

  static void merge(const Partial& next, Partial& state) {
    const float m = max_or_nan(state.m, next.m);
    const float a = exp(state.m - m);
    const float b = exp(next.m - m);
    state.l = std::fma(next.l, b, state.l * a);
    for (size_t d = 0; d < state.o.size(); ++d) {
      state.o[d] = std::fma(next.o[d], b, state.o[d] * a);
    }
    state.m = m;
  }

  int64_t slot_of(int64_t key) const {
    const int64_t block_size = args_.kv.block_size;
    return blocks_[key / block_size] * block_size + key % block_size;
  }

  const AttentionArgs& args_;
  const int64_t position_;
  const int64_t first_key_;
  const int32_t* const blocks_;
  const int kv_head_;
  const float* const q_;
};

}  // namespace

void attention(const AttentionArgs& args) {
  const int64_t head_dim = args.kv.head_dim;
  for (int64_t token = 0; token < args.q.n_rows(); ++token) {
    check_attention_row(args, token);
    for (int64_t head = 0; head < args.q.shape[1]; ++head) {
      RowAttention(args, token, head).run(args.out.row<float>(token) + head * head_dim);
    }
  }
}

}  // namespace lockstep::reference
