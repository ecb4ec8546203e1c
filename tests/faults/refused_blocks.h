// Conversations on a tiny model whose allocator refuses one call: no request fails, and no bit of
// any answer changes. Shared by a sample of the calls (tests/faults) and all of them
// (tests/slow/faults).
#pragma once

#include "common/fault_points.h"
#include "tests/bits/engine_node.h"
#include "tests/faults/conversations.h"

namespace lockstep::testing {

inline constexpr uint64_t kCalls = 200;

inline void expect_nothing_in_use(const EngineSnapshot& s) {
  EXPECT_EQ(s.n_blocks_active, 0);
  EXPECT_EQ(s.n_blocks_reserved, 0);
  EXPECT_EQ(s.n_blocks_free + s.n_blocks_cached, s.n_blocks_total);
  EXPECT_EQ(s.n_running + s.n_waiting, 0);
  EXPECT_EQ(s.n_failed, 0u);
  EXPECT_EQ(s.decode_failures.n_retried_in_all(), 0u);
  EXPECT_EQ(s.n_invariant_violations(), 0u);
}

// With keys and values. `stride`: from one refused call to the next that is tried.
inline void expect_no_bit_changes(uint64_t stride) {
  const NamedSpec model = nine_heads();
  const Setting setting{.block_size = 4, .chunk = 16, .n_kv_blocks = 40};
  const auto talk = [](Node& node) {
    return converse(
        500,
        [&](uint64_t id, const Ids& prompt) {
          node.ask(id, prompt, sampled(id, n_answer_tokens(id)));
        },
        [&](uint64_t id) {
          const Answer& answer = node.answer(id);
          return answer.reason ? &answer.ids : nullptr;
        },
        [&] { node.turn(); });
  };
  Node healthy(model, setting);
  const Conversations expected = talk(healthy);
  Node node(model, setting);
  for (uint64_t k = 1; k <= kCalls; k += stride) {
    SCOPED_TRACE("call " + std::to_string(k));
    {
      const ArmedFault refusal(Fault::kAllocatorRefuses, k);
      ASSERT_EQ(talk(node), expected);
      EXPECT_EQ(refusal.n_fired(), 1u);
    }
    node.run();
    expect_nothing_in_use(node.snapshot());
    for (const auto& [id, prompt] : expected.prompts) {
      expect_equal(healthy.answer(id), node.answer(id), "request " + std::to_string(id));
    }
    node.forget_answers();
    node.ask(7, expected.prompts.at(105), sampled(105, n_answer_tokens(105)));
    node.run();
    expect_equal(healthy.answer(105), node.answer(7), "asked again");
    node.forget_answers();
  }
}

}  // namespace lockstep::testing
