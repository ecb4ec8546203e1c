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

#include "common/fault_points.h"
#include "common/load_error.h"
#include "tests/support/fake_model_file.h"

namespace lockstep {
namespace {

using testing::FakeModelFile;
using testing::FakeModelSpec;
using Ids = std::vector<int32_t>;

constexpr int32_t kMaxLen = 64;

RankGroupConfig config_of(int n_ranks) {
  RankGroupConfig config;
  config.n_ranks = n_ranks;
  config.limits = {.max_tokens = 32,
                   .max_seqs = 4,
                   .max_samples = 4,
                   .max_model_len = kMaxLen,
                   .block_size = 16,
                   .max_banned = 4};
  config.n_kv_blocks = 16;
  return config;
}

// A group and a builder for plans of one sequence in slot 0, whose table is blocks 0, 1, 2, 3.
class Driver {
 public:
  Driver(const ModelFile& file, const RankGroupConfig& config)
      : builder_(config.limits), group(file, config, ledger) {}

  std::span<const std::byte> plan(int32_t first_position, const Ids& tokens) {
    builder_.begin(++n_steps);
    const std::array<BlockId, 4> blocks{BlockId{0}, BlockId{1}, BlockId{2}, BlockId{3}};
    const std::array<std::span<const BlockId>, 1> tables{blocks};
    builder_.add_sequence(0, first_position, tokens, tables);
    SamplingRow row;
    row.temperature = 0.0f;
    row.n_logprobs = 3;
    row.n_known = first_position + static_cast<int32_t>(tokens.size());
    builder_.add_sample(row);
    return builder_.finish();
  }
  const StepResult& run(int32_t first_position, const Ids& tokens) {
    group.submit(plan(first_position, tokens));
    return wait();
  }
  const StepResult& wait() {
    group.wait_result(result);
    return result;
  }

  MemoryLedger ledger;
  uint64_t n_steps = 0;
  StepResult result;

 private:
  StepPlanBuilder builder_;

 public:
  RankGroup group;
};

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
            "config_mismatch: kv_cache_dtype is f32 on rank 1 and f16 on rank 0");
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

TEST(RankGroup, HeadsThatQ8BlocksCannotHoldAreRefusedWithTheNumbers) {
  FakeModelFile file{FakeModelSpec{}};
  ModelConfig model = file.config();
  model.shape.head_dim = 80;
  EXPECT_NO_THROW(check_kv_dtype(model, DType::kF16));
  try {
    check_kv_dtype(model, DType::kQ8_0);
    FAIL() << "accepted";
  } catch (const LoadError& error) {
    EXPECT_NE(std::string(error.what()).find("80"), std::string::npos) << error.what();
  }
}

// The watchdog reads this counter.
TEST(RankGroup, AStepIsProgressAndItsAbsenceIsNone) {
  const FakeModelFile file({});
  Driver driver(file, config_of(2));
  const uint64_t idle = driver.group.progress();
  EXPECT_EQ(driver.group.progress(), idle);
  driver.run(0, kPrompt);
  EXPECT_GT(driver.group.progress(), idle + 10);
}

class RankGroupOf : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, RankGroupOf, ::testing::Values(1, 2));

TEST_P(RankGroupOf, AStepSamplesOneTokenARow) {
  const FakeModelFile file({});
  Driver driver(file, config_of(GetParam()));
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
  Driver whole(file, config_of(GetParam()));
  const int32_t expected = whole.run(0, kPrompt).ids[0];

  Driver split(file, config_of(GetParam()));
  StepPlanBuilder builder(config_of(GetParam()).limits);
  builder.begin(1);
  const std::array<BlockId, 1> blocks{BlockId{0}};
  const std::array<std::span<const BlockId>, 1> tables{blocks};
  builder.add_sequence(0, 0, std::span(kPrompt).first(3), tables);
  split.group.submit(builder.finish());
  EXPECT_EQ(split.wait().n_samples, 0);
  EXPECT_EQ(split.run(3, {kPrompt[3], kPrompt[4]}).ids[0], expected);
}

// The second step is submitted before the first has a result, so its token is in token_ids only.
TEST_P(RankGroupOf, AStepInFlightReadsTheTokenThatTheOneBeforeItSampled) {
  const FakeModelFile file({});
  Driver one_by_one(file, config_of(GetParam()));
  Ids expected{one_by_one.run(0, kPrompt).ids[0]};
  for (int i = 0; i < 9; ++i) expected.push_back(one_by_one.run(5 + i, {expected.back()}).ids[0]);

  Driver pipelined(file, config_of(GetParam()));
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
  RankGroupConfig config = config_of(GetParam());
  std::atomic<bool> throws{false};
  config.on_logits = [&](uint64_t, std::span<const float>) {
    if (throws) throw std::runtime_error("the hook gave up");
  };
  Driver driver(file, config);
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
  RankGroupConfig config = config_of(GetParam());
  std::atomic<int> n_hooked{0};
  std::atomic<bool> go{false};
  config.on_logits = [&](uint64_t, std::span<const float>) {
    while (!go) std::this_thread::yield();
    if (++n_hooked == 1) throw std::runtime_error("first");
  };
  Driver driver(file, config);
  driver.group.submit(driver.plan(0, kPrompt));
  driver.group.submit(driver.plan(5, {-1}));
  go = true;
  EXPECT_EQ(driver.wait().status, StepStatus::kRankFailed);
  EXPECT_EQ(driver.wait().status, StepStatus::kCommFailed);
  EXPECT_EQ(n_hooked, 1);
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kOk);
}

TEST_P(RankGroupOf, APlanThatLostABitIsNotRun) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of(GetParam());
  std::atomic<int> n_hooked{0};
  config.on_logits = [&](uint64_t, std::span<const float>) { ++n_hooked; };
  Driver driver(file, config);
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
  Driver driver(file, config_of(GetParam()));
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kOk);
  EXPECT_EQ(driver.result.finite[0], 0);
}

// Two sequences in a step without samples. The tests differ only in which sequence has a key that
// is not finite, and on which rank.
class StoredKeysAndValues : public ::testing::TestWithParam<int> {
 protected:
  static const StepResult& run_two(Driver& driver, int32_t first_id, int32_t second_id) {
    StepPlanBuilder builder(config_of(1).limits);
    builder.begin(++driver.n_steps);
    const std::array<BlockId, 1> block0{BlockId{0}}, block1{BlockId{1}};
    const std::array<std::span<const BlockId>, 1> tables0{block0}, tables1{block1};
    builder.add_sequence(0, 0, Ids{5, first_id, 11}, tables0);
    builder.add_sequence(1, 0, Ids{5, second_id}, tables1);
    driver.group.submit(builder.finish());
    return driver.wait();
  }
  // Makes keys overflow the dtype of the cache, except those of rows that are all zero.
  static void make_keys_overflow(FakeModelFile& file, const char* norm_name) {
    const std::span<std::byte> norm = file.bytes_of(norm_name);
    constexpr float kLarge = 1e8f;
    for (size_t at = 0; at < norm.size(); at += sizeof kLarge) {
      std::memcpy(norm.data() + at, &kLarge, sizeof kLarge);
    }
  }
  static void clear_embedding(FakeModelFile& file, int32_t id) {
    const std::span<std::byte> table = file.bytes_of("token_embd.weight");
    const size_t row_bytes = table.size() / 130;
    std::ranges::fill(table.subspan(row_bytes * static_cast<size_t>(id), row_bytes), std::byte{0});
  }
};
INSTANTIATE_TEST_SUITE_P(Ranks, StoredKeysAndValues, ::testing::Values(1, 2));

TEST_P(StoredKeysAndValues, AreReportedForTheSequenceWhoseRowsAreNotFinite) {
  FakeModelFile file({});
  make_keys_overflow(file, "blk.0.attn_norm.weight");
  for (const int32_t id : {5, 9, 11}) clear_embedding(file, id);
  Driver driver(file, config_of(GetParam()));
  const auto flags = [&](int32_t first_id, int32_t second_id) {
    const StepResult& result = run_two(driver, first_id, second_id);
    EXPECT_EQ(result.status, StepStatus::kOk) << result.message;
    return std::pair(int{result.kv_finite[0]}, int{result.kv_finite[1]});
  };
  EXPECT_EQ(flags(9, 9), std::pair(1, 1));
  EXPECT_EQ(flags(77, 9), std::pair(0, 1));
  EXPECT_EQ(flags(9, 77), std::pair(1, 0));
  EXPECT_EQ(flags(9, 9), std::pair(1, 1));
}

#ifdef LOCKSTEP_FAULT_POINTS
// The NaN is in the last layer of the last rank, where it affects no row of the step and no other
// rank.
TEST_P(StoredKeysAndValues, AreReportedWhereNothingElseShowsIt) {
  const FakeModelFile file({});
  Driver driver(file, config_of(GetParam()));
  const ArmedFault nan(Fault::kKeyIsNan, 2);
  EXPECT_EQ(run_two(driver, 9, 9).kv_finite[0], 1);
  const StepResult& result = run_two(driver, 9, 9);
  EXPECT_EQ(nan.n_fired(), 1u);
  EXPECT_EQ(result.kv_finite[0], 0);
  EXPECT_EQ(result.kv_finite[1], 1);
  EXPECT_EQ(run_two(driver, 9, 9).kv_finite[0], 1);
}
#endif

// The keys are finite as f32, but not once they are rounded to the dtype of the cache.
TEST_P(StoredKeysAndValues, AreReportedIfTheyOverflowTheirType) {
  FakeModelFile file({});
  make_keys_overflow(file, "blk.1.attn_norm.weight");
  Driver narrow(file, config_of(GetParam()));
  EXPECT_EQ(run_two(narrow, 9, 9).kv_finite[0], 0);
  RankGroupConfig config = config_of(GetParam());
  config.kv_dtype = DType::kF32;
  Driver wide(file, config);
  EXPECT_EQ(run_two(wide, 9, 9).kv_finite[0], 1);
}

TEST(RankGroup, ALateRankIsATimeoutAndTheNextStepRuns) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of(2);
  config.collective_ticks = 3;
  std::atomic<bool> sleeps{true};
  config.on_logits = [&](uint64_t, std::span<const float>) {
    if (sleeps) std::this_thread::sleep_for(std::chrono::milliseconds{900});
  };
  Driver driver(file, config);
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kCommFailed);
  EXPECT_NE(driver.result.message.find("rank 1"), std::string::npos) << driver.result.message;
  EXPECT_NE(driver.result.message.find("timeout"), std::string::npos) << driver.result.message;
  sleeps = false;
  EXPECT_EQ(driver.run(0, kPrompt).status, StepStatus::kOk) << driver.result.message;
}

TEST(RankGroup, UnansweredStepsDoNotKeepItFromEnding) {
  const FakeModelFile file({});
  Driver driver(file, config_of(2));
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
}  // namespace lockstep
