// The engine under random loads: no output depends on how requests were scheduled, and no block or
// slot is leaked. Seeds are printed.
#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

EngineConfig random_config(SeededRandom& random, int depth) {
  EngineConfig config = small_config(depth);
  config.limits.max_tokens = static_cast<int32_t>(random.integer(1, 24));
  config.limits.max_seqs = static_cast<int32_t>(random.integer(1, 6));
  config.limits.max_samples = config.limits.max_seqs;
  config.limits.block_size = static_cast<int32_t>(random.integer(1, 9));
  config.limits.max_banned = max_banned_ids(config.limits.max_seqs, FakeTokenizer());
  config.n_kv_blocks = n_blocks_for(random.integer(40, 120), config.limits.block_size);
  return config;
}

GenerationRequest random_request(SeededRandom& random, uint64_t id) {
  const int32_t vocab_size = FakeTokenizer().vocab_size();
  std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 24)));
  for (int32_t& token : prompt) token = static_cast<int32_t>(random.integer(0, vocab_size - 1));
  GenerationRequest request =
      request_of(id, std::move(prompt), static_cast<int32_t>(random.integer(1, 16)));
  SamplingParams& sampling = request.sampling;
  sampling.ignore_eos = random.chance(0.5);
  sampling.n = random.chance(0.2) ? 3 : 1;
  sampling.n_logprobs = static_cast<int32_t>(random.integer(-1, 2));
  sampling.min_tokens = static_cast<int32_t>(random.integer(0, sampling.max_tokens));
  for (int i = 0; i < 30; ++i) {  // so that some do stop
    sampling.stop_token_ids.push_back(static_cast<int32_t>(random.integer(0, vocab_size - 1)));
  }
  if (random.chance(0.3)) sampling.stop.strings = {"st", "a", "e", "z "};
  return request;
}

// Runs the same requests alone, one after another, on the simplest engine.
std::unique_ptr<CoreHarness> solo_runs(const std::vector<GenerationRequest>& requests) {
  auto h = std::make_unique<CoreHarness>(small_config());
  for (const GenerationRequest& request : requests) {
    EXPECT_TRUE(h->accept(request));
    h->run();
  }
  return h;
}

class EnginePropertyTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, EnginePropertyTest, ::testing::Values(1, 2));

TEST_P(EnginePropertyTest, StreamsEqualSoloRunsWhateverTheScheduling) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    SeededRandom random(seed);
    std::vector<GenerationRequest> requests;
    for (uint64_t id = 0; id < 24; ++id) requests.push_back(random_request(random, id));
    CoreHarness h(random_config(random, GetParam()));
    for (const GenerationRequest& request : requests) {
      ASSERT_TRUE(h.accept(request));
      for (int64_t i = random.integer(0, 3); i > 0; --i) h.turn();
    }
    h.run();
    const auto solo = solo_runs(requests);
    ASSERT_EQ(h.sink.ends.size(), requests.size());
    EXPECT_EQ(h.sink.choices, solo->sink.choices);
  }
}

TEST_P(EnginePropertyTest, CancelsAndFailuresAmongThemChangeNoOtherStream) {
  for (uint64_t seed = 100; seed < 125; ++seed) {
    SeededRandom random(seed);
    std::vector<GenerationRequest> requests;
    for (uint64_t id = 0; id < 24; ++id) requests.push_back(random_request(random, id));
    const EngineConfig config = random_config(random, GetParam());
    NullExecutor::Options options = executor_options(config);
    options.poison_token = 13;
    CoreHarness h(config, options);
    for (const GenerationRequest& request : requests) {
      ASSERT_TRUE(h.accept(request));
      for (int64_t i = random.integer(0, 3); i > 0; --i) h.turn();
      if (random.chance(0.3))
        h.core.cancel(RequestId{static_cast<uint64_t>(random.integer(0, 23))});
    }
    h.run();
    const auto solo = solo_runs(requests);
    ASSERT_EQ(h.sink.ends.size(), requests.size());
    const EngineSnapshot s = h.core.snapshot();
    EXPECT_EQ(s.n_stopped + s.n_length + s.n_cancelled + s.n_failed, requests.size());
    for (const auto& [key, transcript] : h.sink.choices) {
      ASSERT_TRUE(transcript.finished.has_value());
      const Transcript& expected = solo->sink.choices.at(key);
      ASSERT_LE(transcript.ids.size(), expected.ids.size());
      EXPECT_TRUE(std::equal(transcript.ids.begin(), transcript.ids.end(), expected.ids.begin()));
      EXPECT_TRUE(transcript.finished != FinishReason::kStop || transcript == expected);
    }
  }
}

TEST_P(EnginePropertyTest, FiveThousandTinyRequestsLeaveThePoolAsItWas) {
  SeededRandom random(5000);
  CoreHarness h(small_config(GetParam()));
  for (uint64_t id = 0; id < 5000; ++id) {
    const auto token = static_cast<int32_t>(random.integer(0, 255));
    GenerationRequest request =
        request_of(id, std::vector<int32_t>(static_cast<size_t>(random.integer(1, 4)), token),
                   static_cast<int32_t>(random.integer(1, 3)));
    ASSERT_TRUE(h.accept(request));
    if (random.chance(0.7)) h.turn();
    if (random.chance(0.05)) h.core.cancel(RequestId{id});
  }
  h.run();
  EXPECT_EQ(h.sink.ends.size(), 5000u);
}

}  // namespace
}  // namespace lockstep::testing
