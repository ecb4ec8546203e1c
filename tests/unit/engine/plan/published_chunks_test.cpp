// Which blocks a prompt publishes chunk by chunk: whatever ends the request, the blocks of its
// finished steps are cached, and none behind a value that was not finite.
#include <gtest/gtest.h>

#include "tests/support/tokens.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kBlockSize = 16, kRows = 100, kPrompt = 1000;

EngineConfig long_config(int depth) {
  EngineConfig config = small_config(depth);
  config.limits.max_tokens = kRows;
  config.limits.max_model_len = 1100;
  config.limits.block_size = kBlockSize;
  config.n_kv_blocks = 200;
  return config;
}

std::vector<int32_t> long_prompt() {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < kPrompt; ++i) prompt.push_back(i * 7 % 200);
  return prompt;
}

// Cached tokens of the prompt when it is submitted again, alone.
int32_t n_cached_when_asked_again(CoreHarness& h, uint64_t id) {
  EXPECT_TRUE(h.accept(request_of(id, long_prompt(), 1)));
  h.run();
  return static_cast<int32_t>(h.ending(id).usage.cached_tokens);
}

class PublishedChunks : public ::testing::TestWithParam<int> {
 protected:
  int depth() const { return GetParam(); }
  // Runs turns until half of the only request's prompt has been computed.
  static void compute_half(CoreHarness& h) {
    while (h.core.scheduler().running().empty() ||
           h.core.scheduler().running().front()->n_computed() < kPrompt / 2) {
      ASSERT_TRUE(h.turn());
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Depths, PublishedChunks, ::testing::Values(1, 2));

TEST_P(PublishedChunks, APromptThatIsCancelledLeavesTheBlocksOfItsSteps) {
  CoreHarness h(long_config(depth()));
  ASSERT_TRUE(h.accept(request_of(1, long_prompt(), 1)));
  compute_half(h);
  h.core.cancel(RequestId{1});
  h.run();
  EXPECT_GE(n_cached_when_asked_again(h, 2), kPrompt / 2 / kBlockSize * kBlockSize);
  CoreHarness alone(long_config(depth()));
  ASSERT_TRUE(alone.accept(request_of(2, long_prompt(), 1)));
  alone.run();
  EXPECT_EQ(h.choice(2), alone.choice(2));
}

TEST_P(PublishedChunks, APromptWhoseDeadlinePassesLeavesTheBlocksOfItsSteps) {
  CoreHarness h(long_config(depth()));
  GenerationRequest request = request_of(1, long_prompt(), 1);
  request.deadline = h.clock.now() + std::chrono::seconds(1);
  ASSERT_TRUE(h.accept(std::move(request)));
  compute_half(h);
  h.clock.advance(std::chrono::seconds(2));
  h.run();
  EXPECT_EQ(h.ending(1).error, ErrorCode::kDeadlineExceeded);
  EXPECT_GE(n_cached_when_asked_again(h, 2), kPrompt / 2 / kBlockSize * kBlockSize);
}

// A client that gives up after every three steps and retries gets its answer in the end.
TEST_P(PublishedChunks, AClientThatGivesUpTooEarlyAgainAndAgainGetsThereInTheEnd) {
  CoreHarness h(long_config(depth()));
  uint64_t id = 0;
  do {
    ASSERT_LE(++id, 5u) << "each try began at nothing";
    ASSERT_TRUE(h.accept(request_of(id, long_prompt(), 1)));
    for (int i = 0; i < 3; ++i) h.turn();
    h.core.cancel(RequestId{id});
    h.run();
  } while (h.ending(id).reason != FinishReason::kLength);
}

// The step in flight when the request ends is finished, and its blocks are published.
TEST(PublishedChunksAtOnce, TheStepInFlightCountsToo) {
  CoreHarness h(long_config(1));
  ASSERT_TRUE(h.accept(request_of(1, long_prompt(), 1)));
  h.turn();
  h.core.start();
  h.core.cancel(RequestId{1});
  h.core.finish();
  h.run();
  EXPECT_GE(n_cached_when_asked_again(h, 2), 2 * kRows / kBlockSize * kBlockSize);
}

TEST_P(PublishedChunks, AFailedStepLeavesNothingAndWhatWasBeforeItStays) {
  EngineConfig config = long_config(depth());
  NullExecutor::Options options = executor_options(config);
  options.breaking_token = 255;
  CoreHarness h(config, options);
  std::vector<int32_t> prompt = long_prompt();
  prompt[450] = 255;
  ASSERT_TRUE(h.accept(request_of(1, prompt, 1)));
  h.run();
  EXPECT_EQ(h.ending(1).reason, FinishReason::kError);
  const int32_t n_cached = n_cached_when_asked_again(h, 2);
  EXPECT_GE(n_cached, 400);
  EXPECT_LT(n_cached, 450);
}

// Later rows look finite: in the last layer a key that is not finite reaches no other keys and
// values. Still no block behind it is published, though it was computed well.
TEST_P(PublishedChunks, BehindAValueThatIsNotFiniteNothingIsTakenIn) {
  EngineConfig config = long_config(depth());
  NullExecutor::Options options = executor_options(config);
  options.unsound_token = 255;
  CoreHarness h(config, options);
  std::vector<int32_t> prompt = long_prompt();
  prompt[250] = 255;
  ASSERT_TRUE(h.accept(request_of(1, prompt, 40)));
  h.run();
  EXPECT_EQ(h.ending(1).reason, FinishReason::kLength);
  EXPECT_EQ(h.core.cache().index().n_entries(), 2 * kRows / kBlockSize);
  ASSERT_TRUE(h.accept(request_of(2, prompt, 1)));
  h.run();
  EXPECT_EQ(h.ending(2).usage.cached_tokens, uint64_t{2 * kRows / kBlockSize * kBlockSize});
}

TEST_P(PublishedChunks, APoisonedPromptLeavesOnlyWhatCameBeforeThePoison) {
  EngineConfig config = long_config(depth());
  NullExecutor::Options options = executor_options(config);
  options.poison_token = 255;
  CoreHarness h(config, options);
  std::vector<int32_t> prompt = long_prompt();
  prompt[250] = 255;
  ASSERT_TRUE(h.accept(request_of(1, prompt, 4)));
  h.run();
  EXPECT_EQ(h.ending(1).reason, FinishReason::kError);
  EXPECT_EQ(h.core.cache().index().n_entries(), 2 * kRows / kBlockSize);
}

}  // namespace
}  // namespace lockstep::testing
