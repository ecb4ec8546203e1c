// Host memory that loses bits, under the whole engine and its ranks: what was stored there is
// verified before it is used, so no request fails and no token changes.
#include <gtest/gtest.h>

#include "common/fault_points.h"
#include "tests/bits/engine_node.h"
#include "tests/support/lazy_device.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kOutputs = 6;
constexpr uint64_t kPrompts = 4;

// Four prompts in turns, in a pool for one and a half: each has been evicted when it comes back.
class HostFaults : public ::testing::TestWithParam<RankSetup> {
 protected:
  Setting setting() const {
    return {.devices = devices_of(GetParam().kind),
            .n_ranks = GetParam().n_ranks,
            .chunk = 64,
            .n_kv_blocks = 12,
            .n_host_kv_blocks = 64};
  }
  void ask_in_turns(Node& node) const {
    for (uint64_t id = 0; id < 3 * kPrompts; ++id) {
      SamplingParams sampling = sampled(id % kPrompts, kOutputs);
      node.ask(id, random_prompt(90, 500, id % kPrompts), sampling);
      node.run();
    }
  }
  void SetUp() override {
    Setting quiet = setting();
    quiet.n_host_kv_blocks = 0;
    Node node(model, quiet);
    ask_in_turns(node);
    for (uint64_t id = 0; id < 3 * kPrompts; ++id) expected.push_back(node.answer(id));
  }
  void expect_answers(Node& node) const {
    for (uint64_t id = 0; id < 3 * kPrompts; ++id) {
      expect_equal(expected[id], node.answer(id), "request " + std::to_string(id));
    }
    EXPECT_EQ(node.snapshot().n_failed, 0u);
    EXPECT_EQ(node.snapshot().n_invariant_violations(), 0u);
  }

  const NamedSpec model = nine_heads();
  std::vector<Answer> expected;
};
INSTANTIATE_TEST_SUITE_P(Ranks, HostFaults, ::testing::ValuesIn(rank_setups()),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(HostFaults, WhatComesBackIsWhatWasStored) {
  Node node(model, setting());
  ask_in_turns(node);
  expect_answers(node);
  EXPECT_GT(node.snapshot().n_host_loaded, 0u);
  EXPECT_EQ(node.snapshot().n_host_bad, 0u);
}

TEST_P(HostFaults, ABlockThatLostABitIsComputedAgain) {
  const ArmedFault flips(Fault::kHostBitFlip, FaultRange{.first = 2, .last = 9});
  Node node(model, setting());
  ask_in_turns(node);
  expect_answers(node);
  EXPECT_EQ(flips.n_fired(), 8u);
  const EngineSnapshot s = node.snapshot();
  EXPECT_GT(s.n_host_bad, 0u);
  EXPECT_GT(s.n_host_loaded, s.n_host_bad);
  EXPECT_GT(s.decode_failures.n_retried_of(DecodeFailureCause::kHostMemory), 0u);
}

}  // namespace
}  // namespace lockstep::testing
