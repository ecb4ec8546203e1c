// CommunicatorGroup: a group that forms slowly is not taken for one that hangs, and a group that
// cannot form ends the process.
#include "node/model/rank/communicator_group.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>

#include "common/threads/stall_watch.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/model/rank_group_driver.h"

namespace lockstep::testing {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = 100ms;
constexpr int kTicks = 100;           // of the watchdog
constexpr int kTicksOfForming = 640;  // longest_forming()

// CPUs whose groups, but for the first, form as the test wants.
class SlowlyFormed final : public DeviceProvider {
 public:
  const char* kind() const override { return "slow"; }
  bool is_host() const override { return true; }
  std::unique_ptr<Device> open(int rank, const CpuStreamOptions& cpu) const override {
    return cpu_devices()->open(rank, cpu);
  }
  int64_t free_device_bytes(int /*n_ranks*/) const override { return 0; }
  Result<Group> make_group(int n_ranks, const StallTimeout& timeout,
                           int n_threads_in_process) const override {
    if (n_made++ > 0 && !form()) return Error{ErrorCode::kDeadlineExceeded, "nobody came", {}};
    const auto progress = std::make_shared<const std::function<uint64_t()>>(timeout.progress);
    last_group = progress;  // which only the group holds
    const StallTimeout of_group{.tick = timeout.tick,
                                .n_ticks = timeout.n_ticks,
                                .progress = [progress] { return (*progress)(); }};
    return make_local_group(n_ranks, of_group, n_threads_in_process);
  }
  std::chrono::milliseconds longest_forming(int /*n_ranks*/) const override {
    return kTick * kTicksOfForming;
  }

  std::function<bool()> form = [] { return true; };
  mutable int n_made = 0;
  mutable std::weak_ptr<const void> last_group;
};

struct Watched {
  Watched() { config.devices = devices; }
  // One tick later: whether the watchdog would end the process.
  bool tick() {
    clock.advance(kTick);
    return watch.tick(true, group->progress());
  }

  const std::shared_ptr<SlowlyFormed> devices = std::make_shared<SlowlyFormed>();
  RankGroupConfig config = config_of(2);
  FakeClock clock;
  StallWatch watch{kTicks};
  std::optional<CommunicatorGroup> group;
};

TEST(CommunicatorGroup, FormingIsProgressUntilItsDeadlineAndNotLonger) {
  Watched w;
  w.group.emplace(w.config, w.clock, [] { return uint64_t{7}; });
  w.devices->form = [&] {
    for (int tick = 1; tick < kTicksOfForming; ++tick) EXPECT_FALSE(w.tick()) << tick;
    for (int tick = 1; tick < kTicks; ++tick) EXPECT_FALSE(w.tick()) << tick;
    EXPECT_TRUE(w.tick()) << "it hangs beyond its deadline";
    return true;
  };
  w.group->replace();
  EXPECT_EQ(w.devices->n_made, 2);
}

TEST(CommunicatorGroup, AGroupThatHasFormedIsNoProgress) {
  Watched w;
  w.group.emplace(w.config, w.clock, [] { return uint64_t{7}; });
  w.group->replace();
  const uint64_t after = w.group->progress();
  w.tick();
  EXPECT_EQ(w.group->progress(), after);
}

// A group may hold all memory that is left of a device.
TEST(CommunicatorGroup, TheOldGroupIsGoneBeforeTheNewOneForms) {
  Watched w;
  w.group.emplace(w.config, w.clock, [] { return uint64_t{7}; });
  EXPECT_FALSE(w.devices->last_group.expired());
  w.devices->form = [&] {
    EXPECT_TRUE(w.devices->last_group.expired());
    return true;
  };
  w.group->replace();
  EXPECT_EQ(w.devices->n_made, 2);
  EXPECT_FALSE(w.devices->last_group.expired());
}

TEST(CommunicatorGroup, TheWatchdogSeesItInTheProgressOfTheRankGroup) {
  const FakeModelFile file({});
  const auto devices = std::make_shared<SlowlyFormed>();
  RankGroupConfig config = config_of(2);
  config.devices = devices;
  std::atomic<bool> throws{true};
  config.on_logits = [&](uint64_t, std::span<const float>) {
    if (throws.exchange(false)) throw std::runtime_error("once");
  };
  RankGroupDriver driver(file, config);
  devices->form = [&] {
    const uint64_t before = driver.group.progress();
    EXPECT_GT(driver.group.progress(), before);
    return true;
  };
  EXPECT_EQ(driver.run(0, {5, 9}).status, StepStatus::kRankFailed);
  EXPECT_EQ(devices->n_made, 2);
  EXPECT_EQ(driver.run(0, {5, 9}).status, StepStatus::kOk);
}

TEST(CommunicatorGroupDeathTest, RanksThatCannotMeetAgainEndTheProcessWithTheReason) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto give_up = [] {
    Watched w;
    w.group.emplace(w.config, w.clock, [] { return uint64_t{7}; });
    w.devices->form = [] { return false; };
    w.group->replace();
  };
  EXPECT_EXIT(give_up(), ::testing::ExitedWithCode(70),
              "the ranks cannot form a group again: nobody came; exiting");
}

}  // namespace
}  // namespace lockstep::testing
