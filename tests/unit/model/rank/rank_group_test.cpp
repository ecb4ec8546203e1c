// RankGroup as an Executor: steps run in order, results go into the caller's memory, and a failure
// names the right rank and does not affect later steps.
#include "node/model/rank/rank_group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <thread>

#include "common/load_error.h"
#include "tests/support/lazy_device.h"
#include "tests/unit/model/rank_group_driver.h"

namespace lockstep::testing {
namespace {

const Ids kPrompt{5, 9, 11, 2, 7};

TEST(RankGroup, RanksWithDifferentConfigsDoNotStart) {
  FakeModelFile file{FakeModelSpec{}};
  const auto start_with = [&](auto change) -> std::string {
    RankGroupConfig config = config_of(2);
    config.on_rank_config = [&](int rank, RankGroupConfig& rank_config) {
      if (rank == 1) change(rank_config);
    };
    MemoryLedger ledger;
    try {
      RankGroup group(file, config, ledger);
    } catch (const LoadError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(start_with([](RankGroupConfig&) {}), "");
  EXPECT_EQ(start_with([](RankGroupConfig& c) { c.limits.block_size = 8; }),
            "config_mismatch: block_size is 8 on rank 1 and 16 on rank 0");
  EXPECT_EQ(start_with([](RankGroupConfig& c) { c.kv_dtype = DType::kF32; }),
            "config_mismatch: kv_cache_dtype is f32 on rank 1 and k16v8 on rank 0");
  EXPECT_EQ(start_with([](RankGroupConfig& c) { c.n_kv_blocks = 7; }),
            "config_mismatch: num_kv_blocks is 7 on rank 1 and 16 on rank 0");
}

TEST(RankGroup, EveryRankReportsWhatItHasInEffect) {
  FakeModelFile file{FakeModelSpec{}};
  MemoryLedger ledger;
  const RankGroup group(file, config_of(2), ledger);
  ASSERT_EQ(group.settings().size(), 2u);
  EXPECT_EQ(group.settings()[0], group.settings()[1]);
  const RankSetting block_size{"block_size", "16"};
  EXPECT_EQ(std::count(group.settings()[1].begin(), group.settings()[1].end(), block_size), 1);
}

// The watchdog reads this counter.
TEST(RankGroup, AStepIsProgressAndItsAbsenceIsNone) {
  const FakeModelFile file({});
  RankGroupDriver driver(file, config_of(2));
  const uint64_t idle = driver.group.progress();
  EXPECT_EQ(driver.group.progress(), idle);
  driver.run(0, kPrompt);
  EXPECT_GT(driver.group.progress(), idle + 10);
}

class RankGroupOf : public ::testing::TestWithParam<RankSetup> {
 protected:
  static RankGroupConfig config_of_setup() {
    RankGroupConfig config = config_of(GetParam().n_ranks);
    config.devices = devices_of(GetParam().kind);
    return config;
  }
};
INSTANTIATE_TEST_SUITE_P(Ranks, RankGroupOf, ::testing::ValuesIn(rank_setups()),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(RankGroupOf, AStepSamplesOneTokenARow) {
  const FakeModelFile file({});
  RankGroupDriver driver(file, config_of_setup());
  const StepResult& result = driver.run(0, kPrompt);
  EXPECT_EQ(result.status, StepStatus::kOk) << result.message;
  EXPECT_EQ(result.step, 1u);
  EXPECT_EQ(result.n_samples, 1);
  EXPECT_GE(result.ids[0], 0);
  EXPECT_LT(result.ids[0], 130);
  EXPECT_EQ(result.finite[0], 1);
  EXPECT_EQ(result.top[0].id, result.ids[0]) << "greedy";
  EXPECT_EQ(result.top[0].logprob, result.logprobs[0]);
  EXPECT_GE(result.top[0].logprob, result.top[1].logprob);
}

TEST_P(RankGroupOf, AStepWithoutSamplesOnlyFillsTheCache) {
  const FakeModelFile file({});
  RankGroupDriver whole(file, config_of_setup());
  const int32_t expected = whole.run(0, kPrompt).ids[0];

  RankGroupDriver split(file, config_of_setup());
  StepPlanBuilder builder(config_of_setup().limits);
  builder.begin(1);
  const std::array<BlockId, 1> blocks{BlockId{0}};
  builder.add_sequence(0, 0, std::span(kPrompt).first(3), blocks);
  split.group.submit(builder.finish());
  EXPECT_EQ(split.wait().n_samples, 0);
  EXPECT_EQ(split.run(3, {kPrompt[3], kPrompt[4]}).ids[0], expected);
}

// The second step is submitted before the first has a result, so its token is in token_ids only.
TEST_P(RankGroupOf, AStepInFlightReadsTheTokenThatTheOneBeforeItSampled) {
  const FakeModelFile file({});
  RankGroupDriver one_by_one(file, config_of_setup());
  Ids expected{one_by_one.run(0, kPrompt).ids[0]};
  for (int i = 0; i < 9; ++i) expected.push_back(one_by_one.run(5 + i, {expected.back()}).ids[0]);

  RankGroupDriver pipelined(file, config_of_setup());
  ASSERT_EQ(pipelined.group.max_steps_in_flight(), 2);
  Ids actual;
  pipelined.group.submit(pipelined.plan(0, kPrompt));
  for (int i = 0; i < 9; ++i) {
    pipelined.group.submit(pipelined.plan(5 + i, {-1}));
    actual.push_back(pipelined.wait().ids[0]);
    EXPECT_EQ(pipelined.result.step, static_cast<uint64_t>(i + 1)) << "answers come in order";
  }
  actual.push_back(pipelined.wait().ids[0]);
  EXPECT_EQ(actual, expected);
}

TEST_P(RankGroupOf, ARankThatThrowsIsBlamedAndTheNextStepRuns) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of_setup();
  std::atomic<bool> throws{false};
  config.on_logits = [&](uint64_t, std::span<const float>) {
    if (throws) throw std::runtime_error("the hook gave up");
  };
  RankGroupDriver driver(file, config);
  const int32_t expected = driver.run(0, kPrompt).ids[0];
  throws = true;
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kRankFailed);
  EXPECT_NE(driver.result.message.find("rank 0"), std::string::npos) << driver.result.message;
  EXPECT_NE(driver.result.message.find("the hook gave up"), std::string::npos);
  throws = false;
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kOk) << driver.result.message;
  EXPECT_EQ(driver.result.ids[0], expected);
  EXPECT_TRUE(driver.result.message.empty());
}

TEST_P(RankGroupOf, AStepBehindAFailedOneDoesNotRun) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of_setup();
  std::atomic<int> n_hooked{0};
  std::atomic<bool> go{false};
  config.on_logits = [&](uint64_t, std::span<const float>) {
    while (!go) std::this_thread::yield();
    if (++n_hooked == 1) throw std::runtime_error("first");
  };
  RankGroupDriver driver(file, config);
  driver.group.submit(driver.plan(0, kPrompt));
  driver.group.submit(driver.plan(5, {-1}));
  go = true;
  EXPECT_EQ(driver.wait().status, StepStatus::kRankFailed);
  EXPECT_EQ(driver.wait().status, StepStatus::kCommFailed);
  EXPECT_EQ(n_hooked, 1);
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kOk);
}

// Counts the groups that are made on other devices.
class CountedGroups final : public DeviceProvider {
 public:
  explicit CountedGroups(std::shared_ptr<const DeviceProvider> devices)
      : devices_(std::move(devices)) {}
  const char* kind() const override { return devices_->kind(); }
  bool is_host() const override { return devices_->is_host(); }
  std::unique_ptr<Device> open(int rank, const CpuStreamOptions& cpu) const override {
    return devices_->open(rank, cpu);
  }
  int64_t free_device_bytes(int n_ranks) const override {
    return devices_->free_device_bytes(n_ranks);
  }
  Result<Group> make_group(int n_ranks, const StallTimeout& timeout,
                           int n_threads_in_process) const override {
    ++n_made;
    return devices_->make_group(n_ranks, timeout, n_threads_in_process);
  }

  mutable int n_made = 0;

 private:
  const std::shared_ptr<const DeviceProvider> devices_;
};

TEST_P(RankGroupOf, ABadHostBlockFailsItsStepAndLeavesTheGroupAsItIs) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of_setup();
  config.limits.n_host_kv_blocks = 4;
  const auto devices = std::make_shared<CountedGroups>(config.devices);
  config.devices = devices;
  RankGroupDriver driver(file, config);
  StepPlanBuilder builder(config.limits);
  builder.begin(2);
  const std::array<BlockId, 1> blocks{BlockId{5}};
  builder.add_sequence(1, 0, kPrompt, blocks);
  builder.add_load(HostBlockId{3}, BlockId{6}, 7);  // was never stored
  driver.group.submit(driver.plan(0, kPrompt));
  driver.group.submit(builder.finish());
  EXPECT_EQ(driver.wait().status, StepStatus::kOk) << driver.result.message;
  EXPECT_EQ(driver.wait().status, StepStatus::kBadHostBlock);
  EXPECT_EQ(driver.result.bad_host_blocks,
            std::vector<HostBlockId>(static_cast<size_t>(GetParam().n_ranks), HostBlockId{3}));
  EXPECT_EQ(driver.run(5, {7}).status, StepStatus::kOk) << driver.result.message;
  EXPECT_EQ(devices->n_made, 1);
}

TEST_P(RankGroupOf, APlanThatLostABitIsNotRun) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of_setup();
  std::atomic<int> n_hooked{0};
  config.on_logits = [&](uint64_t, std::span<const float>) { ++n_hooked; };
  RankGroupDriver driver(file, config);
  const auto good = driver.plan(0, kPrompt);
  std::vector<std::byte> bad(good.begin(), good.end());
  bad[sizeof(StepPlanHeader)] ^= std::byte{1};  // the first token
  driver.group.submit(bad);
  EXPECT_EQ(driver.wait().status, StepStatus::kPlanMismatch) << driver.result.message;
  EXPECT_EQ(n_hooked, 0);
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kOk);
}

TEST_P(RankGroupOf, LogitsThatAreNotFiniteAreReportedForTheirRow) {
  FakeModelFile file({});
  // The weights are finite, or they would not be loaded, but their products overflow.
  const std::span<std::byte> norm = file.bytes_of("output_norm.weight");
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (size_t at = 0; at < norm.size(); at += sizeof kLargest) {
    std::memcpy(norm.data() + at, &kLargest, sizeof kLargest);
  }
  RankGroupDriver driver(file, config_of_setup());
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kOk);
  EXPECT_EQ(driver.result.finite[0], 0);
}

TEST(RankGroup, ALateRankIsATimeoutAndTheNextStepRuns) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of(2);
  config.collective_ticks = 3;
  std::atomic<bool> sleeps{true};
  config.on_logits = [&](uint64_t, std::span<const float>) {
    if (sleeps) std::this_thread::sleep_for(std::chrono::milliseconds{900});
  };
  RankGroupDriver driver(file, config);
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kCommFailed);
  EXPECT_NE(driver.result.message.find("rank 1"), std::string::npos) << driver.result.message;
  EXPECT_NE(driver.result.message.find("timeout"), std::string::npos) << driver.result.message;
  sleeps = false;
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kOk) << driver.result.message;
}

TEST(RankGroup, UnansweredStepsDoNotKeepItFromEnding) {
  const FakeModelFile file({});
  RankGroupDriver driver(file, config_of(2));
  driver.group.submit(driver.plan(0, kPrompt));
  driver.group.submit(driver.plan(5, {-1}));
}

TEST(RankGroup, MemoryIsBookedByTagAndReturned) {
  const FakeModelFile file({});
  MemoryLedger ledger;
  const RankGroupConfig config = config_of(2);
  {
    const RankGroup group(file, config, ledger);
    EXPECT_EQ(ledger.bytes(MemoryTag::kKv),
              2 * config.n_kv_blocks * kv_block_bytes_per_rank(file.config(), config));
    EXPECT_GT(ledger.bytes(MemoryTag::kWeights), 0);
    EXPECT_GT(ledger.bytes(MemoryTag::kActivations), 0);
  }
  for (MemoryTag tag : {MemoryTag::kKv, MemoryTag::kWeights, MemoryTag::kActivations}) {
    EXPECT_EQ(ledger.bytes(tag), 0) << to_string(tag);
  }
}

TEST(RankGroup, SaysWhatItRunsOn) {
  const FakeModelFile file({});
  MemoryLedger ledger;
  RankGroupConfig config = config_of(2);
  config.isa = Isa::kReference;
  const RankGroup group(file, config, ledger);
  EXPECT_EQ(group.backend_name(), "cpu/reference x1 threads x2 ranks");
  EXPECT_EQ(group.model().architecture, "llama");
  EXPECT_EQ(group.numerics_fingerprint().size(), 32u);
}

std::string load_failure(const ModelFile& file, const RankGroupConfig& config) {
  MemoryLedger ledger;
  try {
    const RankGroup group(file, config, ledger);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "loaded";
}

TEST(RankGroup, MoreRanksThanLeavesIsALoadError) {
  const FakeModelFile file({});
  const std::string message = load_failure(file, config_of(3));
  EXPECT_NE(message.find("3 ranks"), std::string::npos) << message;
  EXPECT_THROW(kv_block_bytes_per_rank(file.config(), config_of(3)), LoadError);
}

TEST(RankGroup, AFaultInTheFileIsALoadErrorWhateverRankMeetsIt) {
  FakeModelFile file({});
  file.remove("blk.1.attn_k.weight");
  EXPECT_NE(load_failure(file, config_of(2)).find("blk.1.attn_k.weight"), std::string::npos);
}

TEST(RankGroup, MoreKvThanTheMachineHasIsALoadError) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of(2);
  config.limits.block_size = 1 << 16;
  config.n_kv_blocks = 2000000000;
  EXPECT_NE(load_failure(file, config).find("KV blocks"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::testing
