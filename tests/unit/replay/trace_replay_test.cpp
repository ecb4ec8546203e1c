// A small made-up trace through the engine: with room for all, everything that can be found is;
// with less, no policy finds more than the one that knows the future.
#include <gtest/gtest.h>

#include <unordered_set>

#include "bench/replay/replay.h"
#include "tests/support/random.h"
#include "tests/support/temporary_path.h"

namespace lockstep::replay {
namespace {

// Conversations that grow turn by turn behind one of three system prompts, interleaved; requests
// come n_together at a time.
Trace conversations(uint64_t seed, int n_requests, int n_together) {
  testing::SeededRandom random(seed);
  int32_t next_name = 0;
  const auto more = [&](std::vector<int32_t>& blocks, int64_t n) {
    for (int64_t i = 0; i < n; ++i) blocks.push_back(next_name++);
  };
  std::vector<std::vector<int32_t>> systems(3), open;
  for (auto& system : systems) more(system, 4);
  Trace trace;
  for (int r = 0; r < n_requests; ++r) {
    if (open.size() < 5 || random.chance(0.3)) {
      open.push_back(systems[static_cast<size_t>(random.integer(0, 2))]);
    }
    auto& blocks = open[static_cast<size_t>(random.integer(0, int64_t(open.size()) - 1))];
    more(blocks, random.integer(1, 4));
    const auto n_tokens = static_cast<int32_t>(blocks.size()) * kBlockTokens;
    trace.push_back({.time_ms = r / n_together, .n_tokens = n_tokens, .blocks = blocks});
    if (blocks.size() > 24) std::swap(blocks, open.back()), open.pop_back();
  }
  return trace;
}

int64_t n_findable(const Trace& trace) {
  int64_t n = 0;
  std::unordered_set<int32_t> seen;
  for (const TraceRequest& request : trace) {
    for (int32_t b = 0; b < request.n_reusable(); ++b) {
      n += seen.contains(request.blocks[static_cast<size_t>(b)]);
    }
    seen.insert(request.blocks.begin(), request.blocks.end());
  }
  return n;
}

constexpr PrefillCost kCost{.seconds_per_token = 1, .seconds_per_token_pair = 0.001};
constexpr uint64_t kSeed = 20261121;

TEST(TraceReplay, WithRoomForAllEverythingIsFound) {
  const Trace trace = conversations(kSeed, 300, 1);
  const auto n_unique = static_cast<int32_t>(count_blocks(trace).n_unique);
  const ReplayResult result = replay(trace, {.n_blocks = n_unique + 300, .cost = kCost});
  EXPECT_EQ(result.n_requests, 300);
  EXPECT_EQ(result.n_hit_blocks, n_findable(trace));
  EXPECT_EQ(result.n_regret_tokens, 0);
  EXPECT_EQ(offline_optimum(trace, n_unique, kCost).n_hit_blocks, n_findable(trace));
}

TEST(TraceReplay, NoPolicyFindsMoreThanTheOfflineOptimum) {
  for (uint64_t seed : {kSeed, kSeed + 1, kSeed + 2}) {
    const Trace trace = conversations(seed, 300, 2);
    const auto n_unique = static_cast<int32_t>(count_blocks(trace).n_unique);
    for (int32_t percent : {10, 20, 40}) {
      const int32_t n_blocks = n_unique * percent / 100;
      const int64_t best = offline_optimum(trace, n_blocks, kCost).n_hit_blocks;
      EXPECT_LE(best, n_findable(trace));
      for (EvictionPolicy policy : {EvictionPolicy::kLru, EvictionPolicy::kGdsf}) {
        const ReplayResult result =
            replay(trace, {.n_blocks = n_blocks, .policy = policy, .cost = kCost});
        EXPECT_EQ(result.n_requests, 300);
        EXPECT_LE(result.n_hit_blocks, best)
            << to_string(policy) << ", " << percent << " %, seed " << seed;
        EXPECT_GT(result.n_hit_blocks, 0);
      }
    }
  }
}

TEST(TraceReplay, ALineThatIsNoRequestIsNamed) {
  const testing::TemporaryPath path;
  path.write("{\"timestamp\": 0, \"input_length\": 600, \"hash_ids\": [4, 5]}\n{}\n");
  try {
    read_trace(path.str(), 16);
    FAIL() << "taken";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
  }
  EXPECT_THROW(read_trace(path.str() + ".none", 16), std::runtime_error);
}

}  // namespace
}  // namespace lockstep::replay
