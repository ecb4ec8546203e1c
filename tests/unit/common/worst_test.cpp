#include "tests/support/worst.h"

#include <gtest/gtest.h>

#include <limits>

namespace lockstep::testing {
namespace {

Worst worst_of(std::initializer_list<double> values) {
  Worst worst;
  for (double value : values) worst.add(value);
  return worst;
}

TEST(Worst, IsTheLargestValue) {
  EXPECT_EQ(worst_of({}).value(), 0);
  EXPECT_EQ(worst_of({0.25, 2, 1}).value(), 2);
}

TEST(Worst, ANaNKeepsNoBoundWhereverItComes) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  for (const Worst& worst : {worst_of({kNaN, 1}), worst_of({1, kNaN}), worst_of({1, kNaN, 2})}) {
    EXPECT_FALSE(worst.value() <= 1e300);
  }
}

}  // namespace
}  // namespace lockstep::testing
