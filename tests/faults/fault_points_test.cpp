// The fault points themselves: when they fire, and how a command line arms them.
#include "common/fault_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "common/log.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Nothing in these tests reaches the points themselves.
constexpr Fault kAny = Fault::kHostBitFlip;

std::vector<bool> ask(int n) {
  std::vector<bool> answers;
  for (int i = 0; i < n; ++i) answers.push_back(fault(kAny));
  return answers;
}

TEST(FaultPoints, NothingFiresUnlessItIsArmed) {
  for (int i = 0; i < kNFaults; ++i) EXPECT_FALSE(is_armed(static_cast<Fault>(i)));
  EXPECT_THAT(ask(2), ElementsAre(false, false));
  {
    const ArmedFault armed(kAny);
    EXPECT_THAT(ask(2), ElementsAre(true, true));
    EXPECT_FALSE(fault(Fault::kSlowCopies)) << "another one";
  }
  EXPECT_THAT(ask(2), ElementsAre(false, false));
}

TEST(FaultPoints, CallsAreCountedFromOneEachTimeItIsArmed) {
  for (int round = 0; round < 2; ++round) {
    const ArmedFault armed(kAny, 3);
    EXPECT_THAT(ask(5), ElementsAre(false, false, true, false, false));
    EXPECT_EQ(armed.n_asked(), 5u);
    EXPECT_EQ(armed.n_fired(), 1u);
  }
  const ArmedFault armed(kAny, {2, 3});
  EXPECT_THAT(ask(4), ElementsAre(false, true, true, false));
}

TEST(FaultPoints, APointThatGivesANumberGoesByIt) {
  const ArmedFault armed(kAny, 7);
  EXPECT_FALSE(fault(kAny, 6));
  EXPECT_TRUE(fault(kAny, 7));
  EXPECT_TRUE(fault(kAny, 7));
}

TEST(FaultPoints, ThreadsShareTheCount) {
  const ArmedFault armed(kAny, {101, 150});
  std::vector<std::thread> threads;
  std::atomic<int> n_fired{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) n_fired += fault(kAny);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_fired, 50);
  EXPECT_EQ(armed.n_asked(), 400u);
}

TEST(FaultPointsDeathTest, OneFaultIsArmedOnce) {
  const ArmedFault armed(kAny);
  EXPECT_DEATH(ArmedFault again(kAny), "is_armed");
}

// Takes the flags off `arguments`, sees what the point answers, and disarms it.
struct Taken {
  explicit Taken(std::vector<std::string> arguments) {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int argc = static_cast<int>(arguments.size());
    const Status status = take_fault_flags(argc, argv.data());
    left.assign(argv.begin(), argv.begin() + argc);
    if (!status) error = status.error().message;
    fires = ask(4);
    for (auto& point : fault_points::points) point.is_armed = false;
  }
  std::vector<std::string> left;
  std::string error;
  std::vector<bool> fires;
};

TEST(FaultFlags, AreTakenOffTheCommandLine) {
  const Taken two({"node", "--fault", "host-bit-flip=2", "--listen", "x", "--fault=slow-copies"});
  EXPECT_THAT(two.left, ElementsAre("node", "--listen", "x"));
  EXPECT_EQ(two.error, "");
  EXPECT_THAT(two.fires, ElementsAre(false, true, false, false));
  EXPECT_THAT(Taken({"node", "--fault", "host-bit-flip"}).fires,
              ElementsAre(true, true, true, true));
  EXPECT_THAT(Taken({"node", "--fault", "host-bit-flip=2..3"}).fires,
              ElementsAre(false, true, true, false));
  EXPECT_THAT(Taken({"node", "--faulty"}).left, ElementsAre("node", "--faulty"));
}

TEST(FaultFlags, WhatIsNoFaultIsRefusedWithTheNamesThereAre) {
  for (const char* wrong :
       {"", "=", "no-such", "host-bit-flip=", "host-bit-flip=x", "host-bit-flip=-1",
        "host-bit-flip=3..2", "host-bit-flip=1..", "host-bit-flip=1..2..3",
        "host-bit-flip=99999999999999999999999", "host-bit"}) {
    const Taken taken({"node", "--fault", wrong});
    EXPECT_THAT(taken.error, HasSubstr(str("'", wrong, "'"))) << wrong;
    EXPECT_THAT(taken.error, HasSubstr("allocator-refuses rank-throws")) << wrong;
    EXPECT_THAT(taken.fires, ElementsAre(false, false, false, false)) << wrong;
  }
  EXPECT_NE(Taken({"node", "--fault"}).error, "");
  EXPECT_EQ(Taken({"node", "--fault", "slow-copies", "--fault", "slow-copies"}).error,
            "--fault: slow-copies is given twice");
}

}  // namespace
}  // namespace lockstep
