// RopeTable: the angles, compared with values computed by hand from the formula.
#include "node/model/weights/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lockstep {
namespace {

ModelConfig rope_of(int n_rot, double theta) {
  ModelConfig model;
  model.n_rot = n_rot;
  model.rope_theta = theta;
  return model;
}

MemoryLedger& ledger() {
  static MemoryLedger ledger;
  return ledger;
}

float cos_of(const RopeTable& table, int64_t position, int64_t pair) {
  return table.cos_sin().row<float>(position)[2 * pair];
}
float sin_of(const RopeTable& table, int64_t position, int64_t pair) {
  return table.cos_sin().row<float>(position)[2 * pair + 1];
}

TEST(RopeTable, CoversEveryPositionAndPair) {
  const RopeTable table(rope_of(64, 10000.0), 100, ledger());
  expect(table.cos_sin(), {100, 32, 2});
}

TEST(RopeTable, IsInTheLedgerWhileItLives) {
  MemoryLedger own;
  {
    const RopeTable table(rope_of(64, 10000.0), 100, own);
    EXPECT_EQ(own.bytes(MemoryTag::kOther), 100 * 32 * 2 * 4);
  }
  EXPECT_EQ(own.bytes(MemoryTag::kOther), 0);
}

TEST(RopeTable, PositionZeroTurnsNothing) {
  const RopeTable table(rope_of(8, 10000.0), 1, ledger());
  for (int pair = 0; pair < 4; ++pair) {
    EXPECT_EQ(cos_of(table, 0, pair), 1.0f);
    EXPECT_EQ(sin_of(table, 0, pair), 0.0f);
  }
}

// With theta = 10^4 and 8 dimensions the pairs rotate by 1, 1/10, 1/100 and 1/1000 a position.
TEST(RopeTable, PairsTurnSlowerAndSlower) {
  const RopeTable table(rope_of(8, 10000.0), 4, ledger());
  const double step[] = {1.0, 0.1, 0.01, 0.001};
  for (int pair = 0; pair < 4; ++pair) {
    EXPECT_FLOAT_EQ(cos_of(table, 3, pair), static_cast<float>(std::cos(3 * step[pair])));
    EXPECT_FLOAT_EQ(sin_of(table, 3, pair), static_cast<float>(std::sin(3 * step[pair])));
  }
}

TEST(RopeTable, DivisorsSlowAPairDown) {
  ModelConfig model = rope_of(4, 10000.0);
  model.rope_freq_divisors = {1.0f, 8.0f};
  const RopeTable table(model, 9, ledger());
  EXPECT_FLOAT_EQ(sin_of(table, 8, 0), static_cast<float>(std::sin(8.0)));
  EXPECT_FLOAT_EQ(sin_of(table, 8, 1), static_cast<float>(std::sin(0.01)));
}

// Angles of far positions have the precision of double; float angles would be off by 1e-3 here.
TEST(RopeTable, FarPositionsAreComputedInDouble) {
  const RopeTable table(rope_of(64, 500000.0), 20001, ledger());
  const double angle = 20000.0 * std::pow(500000.0, -2.0 / 64);
  EXPECT_EQ(cos_of(table, 20000, 1), static_cast<float>(std::cos(angle)));
  EXPECT_EQ(sin_of(table, 20000, 1), static_cast<float>(std::sin(angle)));
}

}  // namespace
}  // namespace lockstep
