// head_norm: each head of each row is normalised by itself, in place, in rows that are wider.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/equal_bits.h"
#include "tests/support/random.h"
#include "tests/unit/kernels/isa_support.h"

namespace lockstep {
namespace {

using testing::equal_bits;
using testing::for_each_stream;
using testing::reference_stream;
using testing::SeededRandom;

struct Heads {
  int64_t n_tokens, n_heads, head_dim, stride;
  std::vector<float> x, weight;

  Heads(SeededRandom& random, int64_t n, int64_t heads, int64_t dim)
      : n_tokens(n),
        n_heads(heads),
        head_dim(dim),
        stride(heads * dim + 7),
        x(random.activations(static_cast<size_t>(n * stride))),
        weight(random.activations(static_cast<size_t>(dim))) {}

  std::vector<float> run(Stream& stream) const {
    std::vector<float> out = x;
    View view_of_heads = view(out.data(), {n_tokens, n_heads, head_dim});
    view_of_heads.row_stride = stride;
    head_norm({.x = view_of_heads, .weight = view(weight.data(), {head_dim}), .eps = 1e-6f},
              stream);
    return out;
  }
};

TEST(HeadNorm, IsTheNormOfEveryHeadAndLeavesTheRestOfTheRow) {
  SeededRandom random(1);
  const Heads heads(random, 5, 3, 80);
  std::vector<float> expected = heads.x;
  for (int64_t t = 0; t < heads.n_tokens; ++t) {
    for (int64_t h = 0; h < heads.n_heads; ++h) {
      const int64_t first = t * heads.stride + h * heads.head_dim;
      rms_norm({.x = view(heads.x.data() + first, {1, heads.head_dim}),
                .weight = view(heads.weight.data(), {heads.head_dim}),
                .eps = 1e-6f,
                .out = {.f32 = view(expected.data() + first, {1, heads.head_dim})}},
               *reference_stream());
    }
  }
  EXPECT_TRUE(equal_bits(expected, heads.run(*reference_stream())));
}

TEST(HeadNorm, EveryBackEndGivesTheBitsOfTheReference) {
  SeededRandom random(2);
  for (const int64_t head_dim : {1, 16, 33, 64, 80, 96, 128, 192, 256}) {
    for (const int64_t n_tokens : {0, 1, 300}) {
      const Heads heads(random, n_tokens, 4, head_dim);
      const auto expected = heads.run(*reference_stream());
      for_each_stream(
          [&](Stream& s) { ASSERT_TRUE(equal_bits(expected, heads.run(s))) << head_dim; });
    }
  }
}

TEST(HeadNormDeathTest, AHeadThatIsTooWideIsABugOfTheCaller) {
  SeededRandom random(3);
  const Heads heads(random, 1, 1, 257);
  EXPECT_DEATH(heads.run(*reference_stream()), "head_dim");
}

}  // namespace
}  // namespace lockstep
