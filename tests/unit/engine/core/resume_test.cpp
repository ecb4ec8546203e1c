// Resumed requests: what is refused, what a mismatch does, what is counted, and how a request ends
// of which nothing is left to run.
#include <gtest/gtest.h>

#include "common/resume_proof.h"
#include "tests/unit/engine/core/resume_support.h"
#include "tests/unit/engine/words.h"

namespace lockstep::testing {
namespace {

GenerationRequest resumed_request(std::vector<int32_t> ids, int32_t max_tokens = 20) {
  GenerationRequest request = request_of(1, {1, 2, 3}, max_tokens);
  request.emitted = {{.ids = std::move(ids)}};
  return request;
}

class ResumeTest : public ::testing::TestWithParam<int> {
 protected:
  // The model outputs `script`, then 'z' for ever.
  NullExecutor::Options saying(std::vector<int32_t> script) const {
    NullExecutor::Options options = executor_options(config_);
    options.script = std::move(script);
    options.fixed_token = 'z';
    return options;
  }
  static Error refusal(const GenerationRequest& request) {
    CoreHarness h(small_config());
    const Status status = h.accept(request);
    EXPECT_FALSE(status);
    return status ? Error{} : status.error();
  }

  const EngineConfig config_ = small_config(GetParam());
};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, ResumeTest, ::testing::Values(1, 2));

TEST_P(ResumeTest, WhatNoNodeCanHaveEmittedIsRefusedWithItsFieldAndNumbers) {
  GenerationRequest request = resumed_request({1});
  request.sampling.n = 3;
  EXPECT_EQ(refusal(request).message, "emitted has 1 choices; n is 3");
  EXPECT_EQ(refusal(request).param, "emitted");
  EXPECT_EQ(refusal(resumed_request({5, 1000})).message,
            "emitted[0].ids has token id 1000 at index 1, outside the vocabulary of 265");
  EXPECT_EQ(refusal(resumed_request({5, -1})).param, "emitted[0].ids");
  EXPECT_EQ(refusal(resumed_request({1, 2, 3}, 2)).message,
            "emitted[0].ids has 3 tokens; max_tokens is 2");
}

TEST_P(ResumeTest, IdsThatContradictTheFinishReasonAreRefused) {
  GenerationRequest request = resumed_request({kHe, kEnd});
  request.sampling.ignore_eos = false;
  EXPECT_EQ(refusal(request).message,
            "emitted[0].finish_reason is not set; after the 2 emitted tokens it is \"stop\"");
  request.emitted[0].ids.push_back(kHe);
  EXPECT_EQ(refusal(request).message,
            "emitted[0].ids has 3 tokens, but the choice ends with \"stop\" at index 1");
  request.emitted[0] = {.ids = {kHe}, .finished = FinishReason::kStop};
  EXPECT_EQ(refusal(request).message,
            "emitted[0].finish_reason is \"stop\"; after the 1 emitted tokens it is not set");
  EXPECT_EQ(refusal(resumed_request({1, 2}, 2)).message,
            "emitted[0].finish_reason is not set; after the 2 emitted tokens it is \"length\"");
  request = resumed_request({kSt, kOp});
  request.sampling.stop.strings = {"stop"};
  EXPECT_EQ(refusal(request).param, "emitted[0].finish_reason");
}

TEST_P(ResumeTest, AStopStringThatStraddlesTheSeamEndsTheChoice) {
  GenerationRequest request = resumed_request({kHe, kSt});
  request.sampling.stop.strings = {"stop"};
  CoreHarness h(config_, saying({kHe, kSt, kOp, kHe}));
  h.sink.choices[{RequestId{1}, 0}].ids = {kHe, kSt};
  h.sink.choices[{RequestId{1}, 0}].text = "he";  // "st" was held back
  ASSERT_TRUE(h.accept(request));
  h.run();
  EXPECT_EQ(h.choice(1).text, "he");
  EXPECT_EQ(h.choice(1).stop_string, "stop");
  EXPECT_EQ(h.choice(1).ids, (std::vector<int32_t>{kHe, kSt, kOp}));
}

// The string begins before the tokens that are sampled as proof.
TEST_P(ResumeTest, AStopStringOfMoreTokensThanTheProofEndsTheChoice) {
  const std::string letters = "abcdefghijkl";
  std::vector<int32_t> script(letters.begin(), letters.end());
  script.insert(script.begin(), kHe);
  for (size_t n = 1; n < script.size(); ++n) {
    GenerationRequest request =
        resumed_request({script.begin(), script.begin() + static_cast<ptrdiff_t>(n)});
    request.sampling.stop.strings = {letters};
    CoreHarness h(config_, saying(script));
    h.sink.choices[{RequestId{1}, 0}].ids = request.emitted[0].ids;
    h.sink.choices[{RequestId{1}, 0}].text = "he";
    ASSERT_TRUE(h.accept(request));
    h.run();
    EXPECT_EQ(h.choice(1).text, "he") << n;
    EXPECT_EQ(h.choice(1).stop_string, letters);
    EXPECT_EQ(h.choice(1).ids, script);
  }
}

TEST_P(ResumeTest, ATokenThatIsSampledOtherwiseEndsTheRequestAndNothingOfItIsSent) {
  for (const size_t wrong : {0u, 3u, 7u, 11u}) {
    const UndisturbedRun run(config_, executor_options(config_), request_of(1, {1, 2, 3}, 20));
    GenerationRequest request = request_of(1, {1, 2, 3}, 20);
    request.emitted = {run.emitted(0, 12)};
    int32_t& id = request.emitted[0].ids[wrong];
    id = (id + 1) % 256;
    CoreHarness h(config_);
    h.sink.after = [](const EventBatch& batch) {
      for (const ChoiceEvent& event : batch.choices) {
        EXPECT_TRUE(event.ids.empty() && event.text.empty());
        EXPECT_EQ(event.first_index, 12u);
      }
    };
    h.sink.choices[{RequestId{1}, 0}].ids = request.emitted[0].ids;
    ASSERT_TRUE(h.accept(request));
    h.run();
    const Ending& ending = h.ending(1);
    EXPECT_EQ(ending.reason, FinishReason::kError);
    EXPECT_EQ(ending.error, ErrorCode::kDecodeFailed);
    // An id that is wrong before the proof shows in the first token after it.
    const size_t shows = std::max<size_t>(wrong, 12 - kResumeProof);
    EXPECT_EQ(ending.message.find("resume mismatch: output token " + std::to_string(shows) +
                                  " of choice 0 was emitted as " +
                                  std::to_string(request.emitted[0].ids[shows]) +
                                  " and is sampled here as "),
              0u)
        << ending.message;
    EXPECT_EQ(h.choice(1).finished, FinishReason::kError);
    const DecodeFailures failures = h.core.snapshot().decode_failures;
    EXPECT_EQ(failures.n_failed_of(DecodeFailureCause::kResumeMismatch), 1u);
    EXPECT_EQ(to_string(DecodeFailureCause::kResumeMismatch), "resume_mismatch");
  }
}

TEST_P(ResumeTest, EveryOutputIsCountedOnceAndWhatIsComputedAgainApart) {
  const UndisturbedRun run(config_, executor_options(config_), request_of(1, {1, 2, 3}, 20));
  for (const size_t n : {0u, 5u, 8u, 13u}) {
    GenerationRequest request = request_of(1, {1, 2, 3}, 20);
    request.emitted = {run.emitted(0, n)};
    CoreHarness h(config_);
    put_emitted(h.sink, run, request);
    ASSERT_TRUE(h.accept(request));
    h.run();
    EXPECT_EQ(h.ending(1).usage.completion_tokens, 20u);
    EXPECT_EQ(h.ending(1).usage.prompt_tokens, 3u);
    const EngineSnapshot s = h.core.snapshot();
    EXPECT_EQ(s.n_output_tokens, 20 - n);
    EXPECT_EQ(s.n_resumed_tokens, n);
    EXPECT_EQ(s.n_prompt_tokens, 3u);
    EXPECT_EQ(s.n_recomputed_tokens, 0u);
  }
}

TEST_P(ResumeTest, ChoicesThatHaveEndedDoNotRunAndARequestOfThemEndsAtOnce) {
  GenerationRequest request = resumed_request({kHe, kEnd});
  request.sampling.ignore_eos = false;
  request.sampling.n = 2;
  request.sampling.max_tokens = 3;
  request.emitted = {{.ids = {kHe, kEnd}, .finished = FinishReason::kStop},
                     {.ids = {kHe, kHe, kHe}, .finished = FinishReason::kLength}};
  CoreHarness h(config_);
  ASSERT_TRUE(h.accept(request));
  h.run();
  EXPECT_TRUE(h.sink.choices.empty());
  EXPECT_EQ(h.ending(1).reason, FinishReason::kStop);
  EXPECT_EQ(h.ending(1).usage.completion_tokens, 5u);
  EXPECT_EQ(h.core.snapshot().n_steps, 0u);
}

TEST_P(ResumeTest, ACancelAndADeadlineBeforeTheProofIsDoneComeBehindWhatWasEmitted) {
  const UndisturbedRun run(config_, executor_options(config_), request_of(1, {1, 2, 3}, 20));
  for (const int n_turns : {0, 1, 4}) {
    GenerationRequest request = request_of(1, {1, 2, 3}, 20);
    request.emitted = {run.emitted(0, 12)};
    CoreHarness h(config_);
    put_emitted(h.sink, run, request);
    ASSERT_TRUE(h.accept(request));
    for (int i = 0; i < n_turns; ++i) h.turn();
    h.core.cancel(RequestId{1});
    h.run();
    EXPECT_EQ(h.choice(1).finished, FinishReason::kCancelled);
    EXPECT_EQ(h.choice(1).ids.size(), 12u);
    EXPECT_EQ(h.ending(1).usage.completion_tokens, 12u);
  }
}

// The choices of a resumed request share their prompt, as those of a new one do.
TEST_P(ResumeTest, ThePromptOfSeveralChoicesIsComputedOnce) {
  EngineConfig config = config_;
  std::vector<int32_t> prompt(32);
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(i);
  GenerationRequest request = request_of(1, prompt, 20);
  request.sampling.n = 3;
  const UndisturbedRun run(config, executor_options(config), request);
  request.emitted = {run.emitted(0, 12), run.emitted(1, 12), run.emitted(2, 12)};
  CoreHarness h(config);
  put_emitted(h.sink, run, request);
  ASSERT_TRUE(h.accept(request));
  h.run();
  expect_same_stream(run, h, 1);
  // 32 tokens of the prompt, and of each choice 4 emitted ones forwarded and 15 sampled ones.
  EXPECT_LE(h.core.snapshot().n_query_rows, 32u + 3 * (4 + 15) + 3 * 4);
}

}  // namespace
}  // namespace lockstep::testing
