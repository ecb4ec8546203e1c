// A request that is resumed goes on exactly where its stream stopped, at every cut, whatever the
// request and the engine are: what the client had and what the other engine sends are together the
// undisturbed stream. Seeds are printed.
#include <gtest/gtest.h>

#include "common/log.h"
#include "tests/support/random.h"
#include "tests/unit/engine/core/resume_support.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kStop = FakeTokenizer::kFirstWord;  // seven more follow

// Requests whose text often holds back characters or the beginning of a stop string.
GenerationRequest random_request(SeededRandom& random, uint64_t id, bool context_shift) {
  const int32_t vocab_size = FakeTokenizer().vocab_size();
  std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 24)));
  for (int32_t& token : prompt) token = static_cast<int32_t>(random.integer(0, vocab_size - 1));
  const auto longest = context_shift && random.chance(0.7) ? 120 : 36;
  GenerationRequest request =
      request_of(id, std::move(prompt), static_cast<int32_t>(random.integer(1, longest)));
  SamplingParams& sampling = request.sampling;
  sampling.ignore_eos = random.chance(0.5);
  sampling.n = random.chance(0.3) ? 3 : 1;
  sampling.n_logprobs = static_cast<int32_t>(random.integer(-1, 2));
  sampling.cache_prompt = random.chance(0.8);
  if (random.chance(0.5)) {
    sampling.min_tokens = static_cast<int32_t>(random.integer(0, sampling.max_tokens));
  }
  if (random.chance(0.4)) {
    for (int i = 0; i < 5; ++i) {
      sampling.stop_token_ids.push_back(static_cast<int32_t>(random.integer(0, vocab_size - 1)));
    }
  }
  if (random.chance(0.5)) {
    sampling.stop.strings = {"stopop", "hestllo", "\xF0\x9F\x98\x80\xF0\x9F\x98\x81", "opop"};
    sampling.stop.include_in_output = random.chance(0.5);
  }
  return request;
}

EngineConfig random_config(SeededRandom& random, int depth, bool context_shift) {
  EngineConfig config = small_config(depth);
  config.context_shift = context_shift;
  config.n_keep = static_cast<int32_t>(random.integer(-1, 8));
  config.kv_cache = random.chance(0.85);
  config.prefix_cache = random.chance(0.7);
  config.limits.max_tokens = static_cast<int32_t>(random.integer(4, 24));
  config.limits.max_seqs = config.limits.max_samples = static_cast<int32_t>(random.integer(1, 6));
  config.limits.block_size = static_cast<int32_t>(random.integer(1, 9));
  config.limits.max_banned = max_banned_ids(config.limits.max_seqs, FakeTokenizer());
  // From one context, which is pressure, to some.
  config.n_kv_blocks = n_blocks_for(random.integer(64, 160), config.limits.block_size);
  return config;
}

// Words whose beginnings and ends overlap, and the bytes of two emoji.
std::vector<int32_t> random_script(SeededRandom& random) {
  std::vector<int32_t> script;
  while (script.size() < 120) {
    if (random.chance(0.25)) {
      for (const int byte : {0xF0, 0x9F, 0x98, random.chance(0.5) ? 0x80 : 0x81}) {
        script.push_back(byte);
      }
    } else {
      script.push_back(static_cast<int32_t>(random.integer(kStop, kStop + 7)));
    }
  }
  return script;
}

// Whether the last emitted token released no text although it has some.
bool holds_back(const TokenByToken& choice, const EmittedOutput& emitted) {
  const size_t n = emitted.ids.size();
  return n > 0 && choice.text[n - 1].empty() &&
         !FakeTokenizer().token_bytes(emitted.ids[n - 1], false).empty();
}

class ResumePropertyTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, ResumePropertyTest, ::testing::Values(1, 2));

TEST_P(ResumePropertyTest, WhatWasEmittedAndWhatFollowsAreTheUndisturbedStream) {
  size_t n_cut_contexts = 0, n_preemptions = 0, n_held = 0;
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    SeededRandom random(seed);
    const bool context_shift = random.chance(0.4);
    const EngineConfig first = random_config(random, 1, context_shift);
    EngineConfig second = random_config(random, GetParam(), context_shift);
    second.n_keep = first.n_keep;
    std::vector<int32_t> script;
    if (random.chance(0.5)) script = random_script(random);
    const auto options = [&](const EngineConfig& config) {
      NullExecutor::Options out = executor_options(config);
      out.script = script;
      return out;
    };
    const GenerationRequest request = random_request(random, 1, context_shift);
    const UndisturbedRun run(first, options(first), request);
    std::vector<size_t> cuts = {0, 1, 7, 8, 9};
    for (int i = 0; i < 4; ++i) {
      cuts.push_back(static_cast<size_t>(random.integer(0, request.sampling.max_tokens)));
    }
    cuts.push_back(run.choices[0].whole.ids.size() - 1);
    cuts.push_back(run.choices[0].whole.ids.size());
    for (const size_t cut : cuts) {
      SCOPED_TRACE(str("cut ", cut));
      CoreHarness h(second, options(second));
      GenerationRequest resumed = request;
      for (size_t c = 0; c < run.choices.size(); ++c) {
        const auto n = c == 0 ? cut : static_cast<size_t>(random.integer(0, 40));
        resumed.emitted.push_back(run.emitted(c, n));
        n_held += holds_back(run.choices[c], resumed.emitted[c]);
      }
      put_emitted(h.sink, run, resumed);
      for (uint64_t other = 2; other < 5; ++other) {  // other requests beside it
        ASSERT_TRUE(h.accept(request_of(other, {1, 2, 3}, 30)));
        if (random.chance(0.5)) h.turn();
      }
      const Status accepted = h.accept(resumed);
      ASSERT_TRUE(accepted) << accepted.error().message;
      h.run();
      expect_same_stream(run, h, 1);
      const EngineSnapshot s = h.core.snapshot();
      EXPECT_EQ(s.decode_failures.n_failed_of(DecodeFailureCause::kResumeMismatch), 0u);
      n_cut_contexts += context_shift && cut + request.prompt.size() >= 64;
      n_preemptions += s.n_preemptions;
      if (::testing::Test::HasFailure()) return;
    }
  }
  // The cases that are hard must be among them.
  EXPECT_GT(n_cut_contexts, 20u);
  EXPECT_GT(n_preemptions, 20u);
  EXPECT_GT(n_held, 20u);
}

TEST_P(ResumePropertyTest, AStreamThatBreaksAgainAndAgainIsStillTheSame) {
  for (uint64_t seed = 500; seed < 530; ++seed) {
    SeededRandom random(seed);
    const EngineConfig config = random_config(random, GetParam(), false);
    GenerationRequest request = random_request(random, 1, false);
    const UndisturbedRun run(config, executor_options(config), request);
    size_t cut = 0;
    while (cut < run.choices[0].whole.ids.size()) {
      cut += static_cast<size_t>(random.integer(1, 6));
      CoreHarness h(config);
      request.emitted.clear();
      for (size_t c = 0; c < run.choices.size(); ++c)
        request.emitted.push_back(run.emitted(c, cut));
      put_emitted(h.sink, run, request);
      const Status accepted = h.accept(request);
      ASSERT_TRUE(accepted) << accepted.error().message;
      h.run();
      expect_same_stream(run, h, 1);
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
