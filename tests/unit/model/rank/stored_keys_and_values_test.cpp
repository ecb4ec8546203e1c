// RankGroup: keys and values that are not finite are reported for their sequence, on any rank.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/fault_points.h"
#include "tests/unit/model/rank_group_driver.h"

namespace lockstep::testing {
namespace {

// Two sequences in a step without samples. The tests differ only in which sequence has a key that
// is not finite, and on which rank.
class StoredKeysAndValues : public ::testing::TestWithParam<int> {
 protected:
  static const StepResult& run_two(RankGroupDriver& driver, int32_t first_id, int32_t second_id) {
    StepPlanBuilder builder(config_of(1).limits);
    builder.begin(++driver.n_steps);
    const std::array<BlockId, 1> block0{BlockId{0}}, block1{BlockId{1}};
    builder.add_sequence(0, 0, Ids{5, first_id, 11}, block0);
    builder.add_sequence(1, 0, Ids{5, second_id}, block1);
    driver.group.submit(builder.finish());
    return driver.wait();
  }
  static RankGroupConfig config_with(DType kv_dtype) {
    RankGroupConfig config = config_of(GetParam());
    config.kv_dtype = kv_dtype;
    return config;
  }
  // Makes keys overflow f16, except those of rows that are all zero.
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
  RankGroupDriver driver(file, config_with(DType::kF16));
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
  RankGroupDriver driver(file, config_of(GetParam()));
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
  RankGroupDriver narrow(file, config_with(DType::kF16));
  EXPECT_EQ(run_two(narrow, 9, 9).kv_finite[0], 0);
  for (const DType dtype : {DType::kF32, DType::kK16V8}) {
    RankGroupDriver wide(file, config_with(dtype));
    EXPECT_EQ(run_two(wide, 9, 9).kv_finite[0], 1);
  }
}

}  // namespace
}  // namespace lockstep::testing
