// Attention, docs/numerics.md section 4: a row and head takes its visible keys in tiles of 64,
// merges the tiles of each span of 512 keys in ascending order, and then the spans. Keys and values
// of a whole-number dtype are multiplied as whole numbers, the others as f32.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/index_checks.h"
#include "kernels/kv_layout.h"
#include "kernels/math.h"
#include "kernels/reference/kv_slots.h"
#include "kernels/reference/reference_ops.h"
#include "kernels/reference/strided_sum.h"

namespace lockstep::reference {
namespace {

constexpr int64_t kTileKeys = 64;
constexpr int64_t kSpanKeys = 512;

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
    Partial state = span(first_key_ / kSpanKeys);
    for (int64_t s = first_key_ / kSpanKeys + 1; s <= position_ / kSpanKeys; ++s) {
      merge(span(s), state);
    }
    const float inverse = 1.0f / state.l;
    for (size_t d = 0; d < state.o.size(); ++d) out[d] = state.o[d] * inverse;
  }

 private:
  Partial span(int64_t s) const {
    const int64_t begin = std::max(first_key_, s * kSpanKeys);
    const int64_t end = std::min(position_ + 1, (s + 1) * kSpanKeys);
    Partial state = tile(begin / kTileKeys);
    for (int64_t t = begin / kTileKeys + 1; t * kTileKeys < end; ++t) merge(tile(t), state);
    return state;
  }

  Partial tile(int64_t t) const {
    const int64_t begin = std::max(first_key_, t * kTileKeys);
    const int64_t end = std::min(position_ + 1, (t + 1) * kTileKeys);
    const bool whole = is_whole_number_kv(args_.kv.dtype);
    std::vector<float> weights = whole ? whole_scores(begin, end) : scores(begin, end);
    Partial partial{weights[0], 0.0f, {}};
    for (float s : weights) partial.m = max_or_nan(partial.m, s);
    StridedSum sum;
    for (int64_t key = begin; key < end; ++key) {
      float& weight = weights[static_cast<size_t>(key - begin)];
      weight = exp(weight - partial.m);
      sum.lane(key % kTileKeys) += weight;
    }
    partial.l = sum.total();
    partial.o = whole ? weigh_whole(weights, begin) : weigh(weights, begin);
    return partial;
  }

  std::vector<float> scores(int64_t begin, int64_t end) const {
    std::vector<float> k(head_dim()), v(head_dim()), out;
    for (int64_t key = begin; key < end; ++key) {
      load_slot(args_.kv, slot_of(key), kv_head_, k.data(), v.data());
      float s = 0.0f;
      for (size_t d = 0; d < head_dim(); ++d) s = std::fma(q_[d], k[d], s);
      out.push_back(s * args_.scale);
    }
    return out;
  }

  std::vector<float> weigh(const std::vector<float>& weights, int64_t begin) const {
    std::vector<float> k(head_dim()), v(head_dim()), o(head_dim(), 0.0f);
    for (size_t j = 0; j < weights.size(); ++j) {
      load_slot(args_.kv, slot_of(begin + static_cast<int64_t>(j)), kv_head_, k.data(), v.data());
      for (size_t d = 0; d < head_dim(); ++d) o[d] = std::fma(weights[j], v[d], o[d]);
    }
    return o;
  }

  std::vector<float> whole_scores(int64_t begin, int64_t end) const {
    std::vector<int16_t> q(head_dim());
    std::vector<float> q_scales;
    for (size_t d = 0; d < head_dim(); d += kBlockLen) {
      const size_t n = std::min<size_t>(kBlockLen, head_dim() - d);
      q_scales.push_back(quantize_whole(q_ + d, static_cast<int>(n), kMaxWholeQuery, q.data() + d));
    }
    std::vector<float> out;
    for (int64_t key = begin; key < end; ++key) {
      const WholeSlot slot = load_whole_slot(args_.kv, slot_of(key), kv_head_);
      float s = 0.0f;
      for (size_t b = 0; b < q_scales.size(); ++b) {
        int64_t sum = 0;
        for (size_t d = b * kBlockLen; d < std::min((b + 1) * kBlockLen, head_dim()); ++d) {
          sum += int64_t{q[d]} * slot.k[d];
        }
        s = std::fma(q_scales[b] * slot.k_scales[b], static_cast<float>(sum), s);
      }
      out.push_back(s * args_.scale);
    }
    return out;
  }

  std::vector<float> weigh_whole(const std::vector<float>& weights, int64_t begin) const {
    std::vector<WholeSlot> slots;
    std::vector<float> w;
    float u = 0.0f;
    for (size_t j = 0; j < weights.size(); ++j) {
      slots.push_back(
          load_whole_slot(args_.kv, slot_of(begin + static_cast<int64_t>(j)), kv_head_));
      w.push_back(weights[j] * slots[j].v_scale);
      u = max_or_nan(u, w[j]);
    }
    if (u != u) return std::vector<float>(head_dim(), u);
    if (u < 0x1p-96f) return std::vector<float>(head_dim(), 0.0f);
    const float inverse = kMaxWholeWeight / u;
    const float unit = u / kMaxWholeWeight;
    std::vector<float> o;
    for (size_t d = 0; d < head_dim(); ++d) {
      int64_t sum = 0;
      for (size_t j = 0; j < w.size(); ++j) {
        sum += static_cast<int64_t>(rint_small(w[j] * inverse)) * slots[j].v[d];
      }
      o.push_back(unit * static_cast<float>(sum));
    }
    return o;
  }

  size_t head_dim() const { return static_cast<size_t>(args_.kv.head_dim); }

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
