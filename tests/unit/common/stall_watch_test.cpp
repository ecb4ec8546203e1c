// StallWatch counts ticks, which these tests give it by hand.
#include "common/threads/stall_watch.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

constexpr int kTicks = 100;
constexpr int kTicksOf30Seconds = 300;

TEST(StallWatch, WorkOfHalfAMinuteThatGetsOnNowAndThenIsNoStall) {
  StallWatch watch(kTicks);
  uint64_t progress = 7;
  for (int tick = 0; tick < 10 * kTicksOf30Seconds; ++tick) {
    if (tick % (kTicks - 1) == 0) ++progress;
    ASSERT_FALSE(watch.tick(true, progress)) << "tick " << tick;
  }
}

TEST(StallWatch, WorkThatStandsStillForAllItsTicksIsAStall) {
  StallWatch watch(kTicks);
  EXPECT_FALSE(watch.tick(true, 7));
  for (int tick = 1; tick < kTicks; ++tick) ASSERT_FALSE(watch.tick(true, 7)) << "tick " << tick;
  EXPECT_TRUE(watch.tick(true, 7));
}

TEST(StallWatch, WhereThereIsNoWorkNothingStandsStill) {
  StallWatch watch(kTicks);
  for (int tick = 0; tick < 10 * kTicks; ++tick) ASSERT_FALSE(watch.tick(false, 7));
  for (int tick = 1; tick < kTicks; ++tick) ASSERT_FALSE(watch.tick(true, 7)) << "tick " << tick;
  EXPECT_FALSE(watch.tick(false, 7));
  EXPECT_FALSE(watch.tick(true, 7)) << "it counts anew";
}

}  // namespace
}  // namespace lockstep
