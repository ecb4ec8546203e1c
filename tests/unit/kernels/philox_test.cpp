#include "kernels/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace lockstep {
namespace {

// The lines of philox4x32 10 in the file kat_vectors that its authors publish with Random123.
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UnitsLieInTheHalfOpenIntervalAndDifferBySeedIndexAndChoice) {
  std::set<float> seen;
  for (uint32_t i = 0; i < 1000; ++i) {
    for (const float u : {random_unit(i, 0, 0), random_unit(uint64_t{i + 1} << 32, 0, 0),
                          random_unit(0, i + 1, 0), random_unit(0, 0, i + 1)}) {
      ASSERT_GE(u, 0.0f);
      ASSERT_LT(u, 1.0f);
      seen.insert(u);
    }
  }
  // 4000 draws of 2^24 values: about half a collision is expected.
  EXPECT_GE(seen.size(), 3990u);
}

}  // namespace
}  // namespace lockstep
