// The measurements of `lockstep bench`, on an engine with a null model.
#include "clients/cli/bench_case.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/load_error.h"
#include "node/engine/queue/admission.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/null_executor.h"

namespace lockstep::testing {
namespace {

using TimePoint = BenchSink::TimePoint;

// Makes the token times of requests from milliseconds.
std::vector<std::vector<TimePoint>> at_ms(const std::vector<std::vector<int>>& requests) {
  std::vector<std::vector<TimePoint>> times;
  for (const auto& request : requests) {
    auto& of_request = times.emplace_back();
    for (const int ms : request) of_request.push_back(TimePoint{} + std::chrono::milliseconds(ms));
  }
  return times;
}

TEST(DecodeRate, CountsTheStretchInWhichAllDecode) {
  // The interval is from 200 ms, when the second prompt is computed, to 600 ms, when the first
  // stream ends.
  const DecodeRate rate = decode_rate(at_ms({{100, 200, 400, 600}, {200, 400, 600, 800}}));
  ASSERT_TRUE(rate.tokens_per_s);
  EXPECT_DOUBLE_EQ(*rate.tokens_per_s, 4 / 0.4);
  EXPECT_EQ(rate.why_none, "");
}

TEST(DecodeRate, IsNoFigureWhenAStreamEndsBeforeAllPromptsAreIn) {
  for (const auto& times :
       {at_ms({{100, 200}, {300, 400}}), at_ms({{100, 200}, {200, 300}}), at_ms({{100}})}) {
    const DecodeRate rate = decode_rate(times);
    EXPECT_FALSE(rate.tokens_per_s);
    EXPECT_NE(rate.why_none.find("before the last prompt was in"), std::string::npos);
  }
}

// An engine that prefills eight tokens per step.
class BenchEngine {
 public:
  // `poison`: a request with this token fails; -1 = no request fails. `sampled`: every sampled
  // token, unless -1.
  explicit BenchEngine(int32_t poison = -1, int32_t sampled = -1) {
    EngineConfig config;
    config.limits.max_tokens = 8;
    config.limits.max_seqs = config.limits.max_samples = 4;
    config.limits.max_model_len = 128;
    config.limits.max_banned = max_banned_ids(config.limits.max_seqs, tokenizer_);
    config.n_kv_blocks = 64;
    config.prefix_cache = false;
    NullExecutor::Options options;
    options.limits = config.limits;
    options.n_kv_blocks = config.n_kv_blocks;
    options.vocab_size = tokenizer_.vocab_size();
    options.poison_token = poison;
    options.fixed_token = sampled;
    executor_.emplace(options);
    engine_.emplace(config, *executor_, tokenizer_, clock_, sink_);
    engine_->start();
  }
  BenchResult run(const BenchCase& c) {
    return run_case(c, tokenizer_.vocab_size(), *engine_, sink_);
  }
  std::string refusal(const BenchCase& c) {
    try {
      run(c);
      return "";
    } catch (const LoadError& error) {
      return error.what();
    }
  }

 private:
  const FakeTokenizer tokenizer_;
  const SteadyClock clock_;
  BenchSink sink_;
  std::optional<NullExecutor> executor_;
  std::optional<Engine> engine_;
};

TEST(BenchCase, AFigureForStreamsThatRunBesideEachOther) {
  const BenchResult result =
      BenchEngine().run({.prompt_tokens = 16, .gen_tokens = 64, .parallel = 4});
  EXPECT_GT(result.prefill_tokens_per_s, 0);
  EXPECT_GT(result.ttft_ms, 0);
  ASSERT_TRUE(result.decode.tokens_per_s);
  EXPECT_GT(*result.decode.tokens_per_s, 0);
}

TEST(BenchCase, TheReasonForStreamsThatDoNot) {
  const BenchResult result =
      BenchEngine().run({.prompt_tokens = 64, .gen_tokens = 2, .parallel = 4});
  EXPECT_GT(result.prefill_tokens_per_s, 0);
  EXPECT_FALSE(result.decode.tokens_per_s);
  EXPECT_NE(result.decode.why_none.find("before the last prompt was in"), std::string::npos);
}

TEST(BenchCase, TheReasonWhenThereIsNothingToDecode) {
  const BenchResult result =
      BenchEngine().run({.prompt_tokens = 16, .gen_tokens = 1, .parallel = 1});
  EXPECT_FALSE(result.decode.tokens_per_s);
  EXPECT_NE(result.decode.why_none.find("gen_tokens is 1"), std::string::npos);
}

TEST(BenchCase, ARequestThatFailsIsNoMeasurement) {
  const BenchCase c{.prompt_tokens = 16, .gen_tokens = 8, .parallel = 1};
  const auto n_tokens = static_cast<uint64_t>(FakeTokenizer().vocab_size());
  const auto of_prompt = static_cast<int32_t>(std::mt19937_64(1)() % n_tokens);
  constexpr int32_t kWord = FakeTokenizer::kFirstWord;
  EXPECT_EQ(BenchEngine(/*poison=*/-1, kWord).refusal(c), "");
  const std::string prompt_failed = BenchEngine(of_prompt, kWord).refusal(c);
  EXPECT_TRUE(prompt_failed.starts_with("a request failed: ")) << prompt_failed;
  const std::string stream_failed = BenchEngine(/*poison=*/kWord, kWord).refusal(c);
  EXPECT_TRUE(stream_failed.starts_with("a request failed: ")) << stream_failed;
}

}  // namespace
}  // namespace lockstep::testing
