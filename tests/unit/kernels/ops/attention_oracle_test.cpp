// What attention computes: the merging of tiles and spans as docs/numerics.md has it, bit by bit,
// and softmax(q K / sqrt(head_dim)) V within the error that the rounding explains.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/math.h"
#include "tests/unit/kernels/exact_attention.h"
#include "tests/unit/kernels/one_sequence.h"

namespace lockstep {
namespace {

using testing::exact_attention;
using testing::OneSequence;
using testing::SeededRandom;

// The merging of docs/numerics.md section 4, item 5, written out: (m, l, o) of a run of keys.
struct KeyRun {
  float m, l, o;
};
KeyRun merged(const KeyRun& state, const KeyRun& next) {
  const float m = std::max(state.m, next.m);
  const float a = reference::exp(state.m - m);
  const float b = reference::exp(next.m - m);
  return {m, std::fma(next.l, b, state.l * a), std::fma(next.o, b, state.o * a)};
}

TEST(Attention, TilesMergeInsideSpansOf512Keys) {
  SeededRandom random(43);
  OneSequence one(random, {DType::kF32, 16, 1, 1, 4, 0}, 1300);
  const auto first_dim_of_tile = [&](int64_t tile, int64_t position) {
    KeyRun run{-std::numeric_limits<float>::infinity(), 0.0f, 0.0f};
    std::vector<float> scores;
    for (int64_t key = tile * 64; key < std::min((tile + 1) * 64, position + 1); ++key) {
      float s = 0.0f;
      for (int d = 0; d < 4; ++d) {
        s = std::fma(one.data.q[position * 4 + d], one.data.k[key * 4 + d], s);
      }
      scores.push_back(s * one.shape.scale());
      run.m = std::max(run.m, scores.back());
    }
    std::vector<float> lanes(32, 0.0f);
    for (size_t j = 0; j < scores.size(); ++j) {
      const float p = reference::exp(scores[j] - run.m);
      lanes[j % 32] += p;
      run.o = std::fma(p, one.data.v[(tile * 64 + static_cast<int64_t>(j)) * 4], run.o);
    }
    for (; lanes.size() > 1; lanes.resize(lanes.size() / 2)) {
      for (size_t i = 0; i < lanes.size() / 2; ++i) lanes[i] = lanes[2 * i] + lanes[2 * i + 1];
    }
    run.l = lanes[0];
    return run;
  };
  for (const int64_t position : {511, 512, 1100, 1299}) {
    std::vector<KeyRun> spans;
    for (int64_t tile = 0; tile <= position / 64; ++tile) {
      const KeyRun next = first_dim_of_tile(tile, position);
      if (tile % 8 == 0) {
        spans.push_back(next);
      } else {
        spans.back() = merged(spans.back(), next);
      }
    }
    KeyRun whole = spans[0];
    for (size_t i = 1; i < spans.size(); ++i) whole = merged(whole, spans[i]);
    for (Isa isa : available_isas()) {
      ASSERT_EQ(one.run(isa, position, position + 1, 2)[0], whole.o * (1.0f / whole.l))
          << to_string(isa) << ", position " << position;
    }
  }
}

// exact_attention() of one row, over the values that the cache holds.
std::vector<double> exact_row(const OneSequence& one, int64_t position) {
  const auto dim = static_cast<size_t>(one.shape.head_dim);
  std::vector<float> keys(static_cast<size_t>(position + 1) * dim), values(keys.size());
  for (int64_t key = 0; key <= position; ++key) {
    const size_t at = static_cast<size_t>(key) * dim;
    reference::load_slot(one.cache.pages(), one.cache.slot(0, key), 0, keys.data() + at,
                         values.data() + at);
  }
  return exact_attention(std::span(one.data.q).subspan(static_cast<size_t>(position) * dim, dim),
                         keys, values);
}

TEST(Attention, AgreesWithSoftmaxInDouble) {
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kK16V8, DType::kK16V16}) {
    SeededRandom random(37);
    OneSequence one(random, {dtype, 16, 1, 1, 64, 0}, 1200);
    for (const int64_t position : {0, 1, 63, 64, 65, 200, 511, 512, 1199}) {
      const auto out = one.run(best_isa(), position, position + 1);
      const auto exact = exact_row(one, position);
      // A score is a chain of 64 fma: off by at most 64 eps |q| |k|, which moves p by as much,
      // relatively; the sums over keys add (n + a few) eps. |v| <= ~80, with its outliers.
      double q_norm = 0, k_norm = 0, v_max = 0;
      for (int d = 0; d < 64; ++d) q_norm += std::pow(one.data.q[position * 64 + d], 2);
      for (int64_t i = 0; i < (position + 1) * 64; ++i) {
        v_max = std::max<double>(v_max, std::fabs(one.data.v[i]));
      }
      for (int64_t key = 0; key <= position; ++key) {
        double sum = 0;
        for (int d = 0; d < 64; ++d) sum += std::pow(one.data.k[key * 64 + d], 2);
        k_norm = std::max(k_norm, sum);
      }
      const double eps = 0x1p-24;
      double score_error = 64 * eps * std::sqrt(q_norm * k_norm) / 8;
      double weight_error = 0;
      if (is_whole_number_kv(dtype)) {
        // A query is off by at most half a step of its largest value / 2047, in each of 64 dims; a
        // weight by half a step of 1 / 2047, in each of the 64 keys of a tile.
        score_error += std::sqrt(64 * q_norm * k_norm) / (2 * 2047) / 8;
        weight_error = 64.0 / (2 * 2047);
      }
      const double tolerance =
          v_max * (2 * score_error + weight_error + static_cast<double>(position + 10) * eps);
      for (size_t d = 0; d < 64; ++d) {
        ASSERT_NEAR(out[d], exact[d], tolerance) << "position " << position << ", dim " << d;
      }
    }
  }
}

}  // namespace
}  // namespace lockstep
