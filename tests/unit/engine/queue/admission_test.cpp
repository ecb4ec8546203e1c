// Admission: which requests are refused, and with which code, field and numbers.
#include "node/engine/queue/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

// Block size 4; 10 blocks hold 40 tokens.
struct AdmissionTest : ::testing::Test {
  FakeTokenizer tokenizer;
  StepLimits limits = small_limits();  // max_model_len 64
  Status check(GenerationRequest& request, int32_t n_kv_blocks = 10) const {
    return Admission(limits, n_kv_blocks, tokenizer).check(request);
  }
  Error refused(GenerationRequest request, int32_t n_kv_blocks = 10) const {
    const Status status = check(request, n_kv_blocks);
    return status ? Error{ErrorCode::kCancelled, "was accepted", ""} : status.error();
  }
};

TEST_F(AdmissionTest, WhatFitsExactlyIsAccepted) {
  GenerationRequest request = request_of(1, std::vector<int32_t>(30, 7), 10);
  EXPECT_TRUE(check(request));
  EXPECT_EQ(request.sampling.max_tokens, 10);
}

TEST_F(AdmissionTest, OneTokenMoreThanThePoolHoldsIsRefusedWithTheNumbers) {
  const Error error = refused(request_of(1, std::vector<int32_t>(30, 7), 11));
  EXPECT_EQ(error.code, ErrorCode::kRequestExceedsKvPool);
  EXPECT_THAT(error.message, HasSubstr("30 tokens"));
  EXPECT_THAT(error.message, HasSubstr("11 tokens"));
  EXPECT_THAT(error.message, HasSubstr("needs 11 KV blocks"));
  EXPECT_THAT(error.message, HasSubstr("pool has 10"));
}

TEST_F(AdmissionTest, OneTokenMoreThanTheContextIsRefusedWithTheNumbers) {
  const Error error = refused(request_of(1, std::vector<int32_t>(60, 7), 5), 100);
  EXPECT_EQ(error.code, ErrorCode::kContextLengthExceeded);
  EXPECT_THAT(error.message, HasSubstr("60 tokens"));
  EXPECT_THAT(error.message, HasSubstr("5 tokens"));
  EXPECT_THAT(error.message, HasSubstr("65 together"));
  EXPECT_THAT(error.message, HasSubstr("limit is 64"));
}

TEST_F(AdmissionTest, NoMaxTokensMeansWhatIsLeftOfContextOrPool) {
  GenerationRequest by_pool = request_of(1, std::vector<int32_t>(30, 7), -1);
  ASSERT_TRUE(check(by_pool, 10));
  EXPECT_EQ(by_pool.sampling.max_tokens, 10);
  GenerationRequest by_context = request_of(1, std::vector<int32_t>(30, 7), -1);
  ASSERT_TRUE(check(by_context, 100));
  EXPECT_EQ(by_context.sampling.max_tokens, 34);
}

TEST_F(AdmissionTest, APromptThatLeavesNoRoomForATokenIsRefused) {
  EXPECT_EQ(refused(request_of(1, std::vector<int32_t>(64, 7), -1), 100).code,
            ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(refused(request_of(1, std::vector<int32_t>(40, 7), -1)).code,
            ErrorCode::kRequestExceedsKvPool);
}

TEST_F(AdmissionTest, HugeNumbersDoNotOverflow) {
  const auto huge = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(refused(request_of(1, {1, 2, 3}, huge)).code, ErrorCode::kContextLengthExceeded);
}

TEST_F(AdmissionTest, TokenIdsOutsideTheVocabularyAreRefused) {
  const Error error = refused(request_of(1, {1, 2, 999}, 5));
  EXPECT_EQ(error.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(error.param, "prompt");
  EXPECT_THAT(error.message, HasSubstr("999 at index 2"));
  EXPECT_EQ(refused(request_of(1, {-1}, 5)).param, "prompt");
}

TEST_F(AdmissionTest, BadFieldsAreRefusedByName) {
  const float nan = std::nanf("");
  using Edit = std::function<void(GenerationRequest&)>;
  const std::vector<std::pair<std::string, Edit>> cases = {
      {"prompt", [](auto& r) { r.prompt.clear(); }},
      {"temperature", [&](auto& r) { r.sampling.temperature = nan; }},
      {"temperature", [](auto& r) { r.sampling.temperature = -0.1f; }},
      {"top_p", [&](auto& r) { r.sampling.top_p = nan; }},
      {"top_p", [](auto& r) { r.sampling.top_p = 1.5f; }},
      {"min_p", [](auto& r) { r.sampling.min_p = -1; }},
      {"repetition_penalty", [](auto& r) { r.sampling.repetition_penalty = 0; }},
      {"presence_penalty",
       [](auto& r) { r.sampling.presence_penalty = std::numeric_limits<float>::infinity(); }},
      {"frequency_penalty", [&](auto& r) { r.sampling.frequency_penalty = nan; }},
      {"top_k", [](auto& r) { r.sampling.top_k = -2; }},
      {"n", [](auto& r) { r.sampling.n = 0; }},
      {"n", [](auto& r) { r.sampling.n = 129; }},
      {"logprobs", [](auto& r) { r.sampling.n_logprobs = kMaxTopLogprobs + 1; }},
      {"stop",
       [](auto& r) {
         r.sampling.stop.strings = {"a", ""};
       }},
      {"stop", [](auto& r) { r.sampling.stop.strings.assign(kMaxStopStrings + 1, "x"); }},
      {"stop", [](auto& r) { r.sampling.stop.strings = {std::string(kMaxStopBytes + 1, 'x')}; }},
      {"stop_token_ids",
       [](auto& r) {
         r.sampling.stop_token_ids = {3, 5000};
       }},
      {"stop_token_ids",
       [](auto& r) { r.sampling.stop_token_ids.assign(kMaxStopTokenIds + 1, 3); }},
      {"max_tokens", [](auto& r) { r.sampling.max_tokens = 0; }},
      {"max_tokens", [](auto& r) { r.sampling.max_tokens = -2; }},
      {"min_tokens", [](auto& r) { r.sampling.min_tokens = 9; }},
      {"min_tokens", [](auto& r) { r.sampling.min_tokens = -1; }},
  };
  for (const auto& [param, edit] : cases) {
    GenerationRequest request = request_of(1, {1, 2, 3}, 8);
    edit(request);
    const Error error = refused(request);
    EXPECT_EQ(error.code, ErrorCode::kInvalidRequest) << param;
    EXPECT_EQ(error.param, param) << error.message;
    EXPECT_FALSE(error.message.empty());
  }
}

TEST_F(AdmissionTest, ANumberOutOfRangeIsToldItsRange) {
  using Edit = std::function<void(SamplingParams&)>;
  const std::vector<std::pair<Edit, std::string>> cases = {
      {[](auto& s) { s.temperature = -0.5f; },
       "temperature must be a finite number of at least 0, got -0.5"},
      {[](auto& s) { s.top_p = 1.5f; }, "top_p must be a number from 0 to 1, got 1.5"},
      {[](auto& s) { s.min_p = -1; }, "min_p must be a number from 0 to 1, got -1"},
      {[](auto& s) { s.top_k = -2; }, "top_k must be an integer from -1 to 2147483647, got -2"},
      {[](auto& s) { s.repetition_penalty = 0; },
       "repetition_penalty must be a number from 0.001 to 1000, got 0"},
      {[](auto& s) { s.presence_penalty = 2.5f; },
       "presence_penalty must be a number from -2 to 2, got 2.5"},
      {[](auto& s) { s.frequency_penalty = -3; },
       "frequency_penalty must be a number from -2 to 2, got -3"},
      {[](auto& s) { s.n = 129; }, "n must be an integer from 1 to 128, got 129"},
      {[](auto& s) { s.first_choice = -1; },
       "first_choice must be an integer from 0 to 2147483519, got -1"},
      {[](auto& s) { s.n_logprobs = 21; }, "logprobs must be an integer from -1 to 20, got 21"},
  };
  for (const auto& [edit, message] : cases) {
    GenerationRequest request = request_of(1, {1, 2, 3}, 8);
    edit(request.sampling);
    EXPECT_EQ(refused(request).message, message);
  }
}

TEST_F(AdmissionTest, TheEndsOfEveryRangeAreInIt) {
  using Edit = std::function<void(SamplingParams&)>;
  const std::vector<Edit> edits = {[](auto& s) { s.temperature = 0; },
                                   [](auto& s) { s.top_p = 0; },
                                   [](auto& s) { s.top_p = 1; },
                                   [](auto& s) { s.min_p = 1; },
                                   [](auto& s) { s.top_k = -1; },
                                   [](auto& s) { s.repetition_penalty = 1e-3f; },
                                   [](auto& s) { s.repetition_penalty = 1e3f; },
                                   [](auto& s) { s.presence_penalty = -2; },
                                   [](auto& s) { s.frequency_penalty = 2; },
                                   [](auto& s) { s.n = 128; },
                                   [](auto& s) { s.n_logprobs = 20; }};
  for (size_t i = 0; i < edits.size(); ++i) {
    GenerationRequest request = request_of(1, {1, 2, 3}, 8);
    edits[i](request.sampling);
    EXPECT_TRUE(check(request)) << i;
  }
}

TEST_F(AdmissionTest, MoreBansThanAStepCanCarryAreRefused) {
  limits.max_banned = 4;  // of 4 rows: one each
  GenerationRequest request = request_of(1, {1}, 8);
  request.sampling.min_tokens = 2;
  request.sampling.stop_token_ids = {1, 2};
  EXPECT_EQ(refused(request).param, "min_tokens");
  limits.max_banned = max_banned_ids(limits.max_seqs, tokenizer);
  EXPECT_TRUE(check(request));
}

struct ShiftingAdmissionTest : AdmissionTest {
  Status check(GenerationRequest& request, int32_t n_kv_blocks = 16) const {
    return Admission(limits, n_kv_blocks, tokenizer, {}, /*context_shift=*/true).check(request);
  }
  Error refused(GenerationRequest request, int32_t n_kv_blocks = 16) const {
    const Status status = check(request, n_kv_blocks);
    return status ? Error{ErrorCode::kCancelled, "was accepted", ""} : status.error();
  }
};

TEST_F(ShiftingAdmissionTest, AnOutputMayOutgrowTheContext) {
  GenerationRequest request = request_of(1, std::vector<int32_t>(63, 7), 1 << 30);
  EXPECT_TRUE(check(request));
  EXPECT_EQ(request.sampling.max_tokens, 1 << 30);
  request.sampling.max_tokens = std::numeric_limits<int32_t>::max();
  EXPECT_TRUE(check(request));
}

TEST_F(ShiftingAdmissionTest, APromptAloneMayNot) {
  const Error error = refused(request_of(1, std::vector<int32_t>(64, 7), 200));
  EXPECT_EQ(error.code, ErrorCode::kContextLengthExceeded);
  EXPECT_THAT(error.message, HasSubstr("the prompt has 64 tokens and 1 of output"));
  EXPECT_THAT(error.message, HasSubstr("65 together; the limit is 64"));
}

TEST_F(ShiftingAdmissionTest, ThePoolHasToHoldAWholeContext) {
  const Error error = refused(request_of(1, std::vector<int32_t>(30, 7), 200), 15);
  EXPECT_EQ(error.code, ErrorCode::kRequestExceedsKvPool);
  EXPECT_THAT(error.message, HasSubstr("30 tokens and 34 of output"));
  EXPECT_THAT(error.message, HasSubstr("needs 16 KV blocks"));
  GenerationRequest request = request_of(1, std::vector<int32_t>(30, 7), 30);
  EXPECT_TRUE(check(request, 15));
}

TEST_F(ShiftingAdmissionTest, NoMaxTokensStillMeansWhatIsLeft) {
  GenerationRequest request = request_of(1, std::vector<int32_t>(30, 7), -1);
  ASSERT_TRUE(check(request));
  EXPECT_EQ(request.sampling.max_tokens, 34);
}

}  // namespace
}  // namespace lockstep::testing
