// A rank that waits for its device while it queues a step asks its communicator whether the wait
// can still end. Here the device hangs, as it does in a collective whose other rank is gone, and
// the communicator gives up after some looks.
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "node/model/rank/rank.h"
#include "node/model/weights/rope_table.h"
#include "node/step/step_plan.h"
#include "tests/support/lazy_device.h"
#include "tests/unit/model/rank_group_driver.h"

namespace lockstep::testing {
namespace {

constexpr int kMaxChecks = 20;

class ImpatientCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  CommResult all_gather(const View&, const View&, Stream&) override { return CommResult::kOk; }
  CommResult broadcast(const View&, int, Stream&) override { return CommResult::kOk; }
  CommResult agree(uint64_t) override { return CommResult::kOk; }
  CommResult all_true(bool mine) override { return mine ? CommResult::kOk : CommResult::kMismatch; }
  CommResult barrier() override { return CommResult::kOk; }
  CommResult check() override {
    return lazy_devices_hang && ++n_checks > kMaxChecks ? CommResult::kTimeout : CommResult::kOk;
  }
  void abort() override {}

  int n_checks = 0;
};

class HangingDevice : public ::testing::Test {
 protected:
  explicit HangingDevice(int n_layers = 2) : file_(spec_of(n_layers)) {
    config_.devices = lazy_devices();
    config_.limits.n_host_kv_blocks = 4;
    rope_.emplace(file_.config(), config_.limits.max_model_len, ledger_);
    rank_.emplace(file_, shards_, 0, config_, *rope_, progress_, ledger_);
    result_.resize(config_.limits.max_samples, config_.limits.max_seqs);
  }
  ~HangingDevice() override { lazy_devices_hang = false; }

  static FakeModelSpec spec_of(int n_layers) {
    FakeModelSpec spec;
    spec.n_layers = n_layers;
    return spec;
  }
  // `add` gives the plan its copies from and to host memory.
  template <class Add>
  std::vector<std::byte> plan(const Add& add) {
    StepPlanBuilder builder(config_.limits);
    builder.begin(++n_plans_);
    const std::array<BlockId, 1> blocks{BlockId{0}};
    builder.add_sequence(0, static_cast<int32_t>(3 * (n_plans_ - 1)), Ids{5, 9, 11}, blocks);
    add(builder);
    const auto bytes = builder.finish();
    return {bytes.begin(), bytes.end()};
  }
  bool enqueue(const std::vector<std::byte>& plan) {
    return rank_->enqueue(plan, {}, communicator_);
  }
  RankOutcome finish() {
    while (!rank_->is_over()) std::this_thread::yield();
    return rank_->finish(&result_, result_.kv_finite);
  }

  const FakeModelFile file_;
  const ShardPlan shards_ = *make_shard_plan(file_.config().shape, 1);
  RankGroupConfig config_ = config_of(1);
  MemoryLedger ledger_;
  std::optional<RopeTable> rope_;
  std::vector<ProgressCounter> progress_ = std::vector<ProgressCounter>(1);
  ImpatientCommunicator communicator_;
  std::optional<Rank> rank_;
  StepResult result_;
  uint64_t n_plans_ = 0;
};

class HangingDeepModel : public HangingDevice {
 protected:
  HangingDeepModel() : HangingDevice(/*n_layers=*/40) {}
};

TEST_F(HangingDeepModel, AFullQueueIsNotWaitedForWithoutEnd) {
  const auto first = plan([](StepPlanBuilder&) {});
  lazy_devices_hang = true;
  EXPECT_FALSE(enqueue(first));
  EXPECT_EQ(communicator_.n_checks, kMaxChecks + 1);
  const RankOutcome outcome = finish();
  EXPECT_EQ(outcome.status, StepStatus::kCommFailed);
  EXPECT_NE(outcome.message.find("timeout"), std::string::npos) << outcome.message;
}

TEST_F(HangingDeepModel, AQueueThatWasFullTakesTheRest) {
  const auto first = plan([](StepPlanBuilder&) {}), second = plan([](StepPlanBuilder&) {});
  EXPECT_TRUE(enqueue(first));
  EXPECT_TRUE(enqueue(second));
  const uint64_t before = progress_.front().count();
  EXPECT_EQ(finish().status, StepStatus::kOk);
  EXPECT_EQ(finish().status, StepStatus::kOk);
  EXPECT_GT(progress_.front().count(), before);
}

// Two steps later the slot of a step that failed half-way is used again. What the device had done
// of that step is no progress of the new one, and leaves no room in a queue that is full.
TEST_F(HangingDeepModel, AStepThatFailedLeavesNoLayersInItsSlot) {
  const auto failing = plan([](StepPlanBuilder&) {}), between = plan([](StepPlanBuilder&) {}),
             next = plan([](StepPlanBuilder&) {});
  ASSERT_TRUE(enqueue(failing)) << "the device has done some layers, because the queue was full";
  const uint64_t n_before = progress_.front().count();
  lazy_devices_hang = true;
  while (!rank_->is_over()) std::this_thread::yield();
  lazy_devices_hang = false;  // as the end of its collectives lets a device go on
  EXPECT_EQ(finish().status, StepStatus::kCommFailed);
  ASSERT_GT(progress_.front().count(), n_before);
  ASSERT_TRUE(enqueue(between));
  EXPECT_EQ(finish().status, StepStatus::kOk);

  lazy_devices_hang = true;
  communicator_.n_checks = 0;
  const uint64_t n_idle = progress_.front().count();
  EXPECT_FALSE(enqueue(next)) << "the queue is full";
  EXPECT_TRUE(rank_->is_over());
  EXPECT_EQ(progress_.front().count(), n_idle) << "the device hangs";
  EXPECT_EQ(finish().status, StepStatus::kCommFailed);
}

TEST_F(HangingDevice, ALoadOfABlockThatIsNotStoredYetIsNotWaitedForWithoutEnd) {
  const auto stores =
      plan([](StepPlanBuilder& builder) { builder.add_store(BlockId{3}, HostBlockId{1}, 7); });
  const auto loads =
      plan([](StepPlanBuilder& builder) { builder.add_load(HostBlockId{1}, BlockId{2}, 7); });
  lazy_devices_hang = true;
  EXPECT_TRUE(enqueue(stores));
  EXPECT_FALSE(enqueue(loads));
  EXPECT_GT(communicator_.n_checks, kMaxChecks);
  EXPECT_EQ(finish().status, StepStatus::kCommFailed);
  const RankOutcome outcome = finish();
  EXPECT_EQ(outcome.status, StepStatus::kCommFailed);
  EXPECT_NE(outcome.message.find("load from host memory"), std::string::npos) << outcome.message;
}

TEST_F(HangingDevice, ALoadOfABlockThatIsNotStoredYetGivesWhatWasStored) {
  const auto stores =
      plan([](StepPlanBuilder& builder) { builder.add_store(BlockId{3}, HostBlockId{1}, 7); });
  const auto loads =
      plan([](StepPlanBuilder& builder) { builder.add_load(HostBlockId{1}, BlockId{2}, 7); });
  EXPECT_TRUE(enqueue(stores));
  EXPECT_TRUE(enqueue(loads));
  EXPECT_EQ(finish().status, StepStatus::kOk);
  EXPECT_EQ(finish().status, StepStatus::kOk);
}

// The result need not wait for checksums: finish() leaves them to finish_stores().
TEST_F(HangingDevice, AStepIsFinishedBeforeItsStoresAre) {
  const auto stores =
      plan([](StepPlanBuilder& builder) { builder.add_store(BlockId{3}, HostBlockId{1}, 7); });
  const auto loads =
      plan([](StepPlanBuilder& builder) { builder.add_load(HostBlockId{1}, BlockId{2}, 7); });
  ASSERT_TRUE(enqueue(stores));
  EXPECT_EQ(finish().status, StepStatus::kOk);
  lazy_devices_hang = true;
  EXPECT_FALSE(enqueue(loads)) << "it waits for a store that is not finished";
  EXPECT_EQ(finish().status, StepStatus::kCommFailed);
  rank_->finish_stores();
  EXPECT_TRUE(enqueue(loads)) << "it has nothing to wait for";
  EXPECT_EQ(finish().status, StepStatus::kCommFailed) << "it hangs";
}

}  // namespace
}  // namespace lockstep::testing
