#include "node/service/requests/generate_params.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace lockstep {
namespace {

wire::Generate request() {
  wire::Generate m;
  m.request_id = "r";
  m.model = "null";
  m.prompt_text = "x";
  return m;
}

template <class Change>
Error refused(const Change& change) {
  wire::Generate m = request();
  change(m);
  const Result<SamplingParams> params = sampling_params(m, 1);
  EXPECT_FALSE(params);
  return params ? Error{} : params.error();
}

TEST(GenerateParams, DefaultsAreOpenAis) {
  const Result<SamplingParams> params = sampling_params(request(), 99);
  ASSERT_TRUE(params);
  EXPECT_EQ(params->temperature, 1.0f);
  EXPECT_EQ(params->top_p, 1.0f);
  EXPECT_EQ(params->n, 1);
  EXPECT_EQ(params->max_tokens, -1);
  EXPECT_EQ(params->n_logprobs, -1);
  EXPECT_EQ(params->seed, 99u);
  EXPECT_TRUE(params->cache_prompt);
  EXPECT_EQ(params->cache_salt, "");
}

TEST(GenerateParams, EveryFieldReachesTheEngine) {
  wire::Generate m = request();
  m.max_tokens = 7;
  m.min_tokens = 2;
  m.temperature = 0.5;
  m.top_p = 0.9;
  m.min_p = 0.05;
  m.top_k = 40;
  m.repetition_penalty = 1.1;
  m.presence_penalty = -0.5;
  m.frequency_penalty = 0.25;
  m.seed = 5;
  m.n = 3;
  m.stop = {"END"};
  m.stop_token_ids = {2};
  m.include_stop_str_in_output = true;
  m.skip_special_tokens = false;
  m.ignore_eos = true;
  m.cache_prompt = false;
  m.cache_salt = "acme";
  m.logprobs = 20;
  const Result<SamplingParams> p = sampling_params(m, 1);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->max_tokens, 7);
  EXPECT_EQ(p->min_tokens, 2);
  EXPECT_EQ(p->temperature, 0.5f);
  EXPECT_EQ(p->top_p, 0.9f);
  EXPECT_EQ(p->min_p, 0.05f);
  EXPECT_EQ(p->top_k, 40);
  EXPECT_EQ(p->repetition_penalty, 1.1f);
  EXPECT_EQ(p->presence_penalty, -0.5f);
  EXPECT_EQ(p->frequency_penalty, 0.25f);
  EXPECT_EQ(p->seed, 5u);
  EXPECT_EQ(p->n, 3);
  EXPECT_EQ(p->stop.strings, std::vector<std::string>{"END"});
  EXPECT_EQ(p->stop_token_ids, std::vector<int32_t>{2});
  EXPECT_TRUE(p->stop.include_in_output);
  EXPECT_FALSE(p->stop.skip_special_tokens);
  EXPECT_TRUE(p->ignore_eos);
  EXPECT_FALSE(p->cache_prompt);
  EXPECT_EQ(p->cache_salt, "acme");
  EXPECT_EQ(p->n_logprobs, 20);
}

const std::vector<TenantConfig> kTenants = {{.name = "default"}, {.name = "gold"}};
constexpr Clock::TimePoint kArrived{std::chrono::hours{1}};

template <class Change>
Error schedule_refused(const Change& change) {
  wire::Generate m = request();
  change(m);
  const Result<GenerationRequest> wanted = generation_request(m, kTenants, 1, kArrived);
  EXPECT_FALSE(wanted);
  return wanted ? Error{} : wanted.error();
}

TEST(GenerateParams, WithoutThemARequestIsTheDefaultTenantsAndHasTimeForever) {
  const Result<GenerationRequest> wanted = generation_request(request(), kTenants, 7, kArrived);
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->tenant, 0);
  EXPECT_EQ(wanted->priority, 0);
  EXPECT_FALSE(wanted->deadline);
  EXPECT_FALSE(wanted->retention);
  EXPECT_EQ(wanted->sampling.seed, 7u);
}

TEST(GenerateParams, TenantPriorityDeadlineAndRetentionReachTheEngine) {
  wire::Generate m = request();
  m.tenant = "gold";
  m.priority = 3;
  m.deadline_ms = 1500;
  m.cache_retention = {80, 60};
  const Result<GenerationRequest> wanted = generation_request(m, kTenants, 1, kArrived);
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->tenant, 1);
  EXPECT_EQ(wanted->priority, 3);
  EXPECT_EQ(wanted->deadline, kArrived + std::chrono::milliseconds{1500});
  ASSERT_TRUE(wanted->retention);
  EXPECT_EQ(wanted->retention->priority, 80);
  EXPECT_EQ(wanted->retention->duration, std::chrono::seconds{60});
}

TEST(GenerateParams, AnUnknownTenantAndNumbersOutOfRangeAreRefusedByField) {
  const Error unknown = schedule_refused([](auto& m) { m.tenant = "silver"; });
  EXPECT_EQ(unknown.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(unknown.param, "tenant");
  EXPECT_EQ(unknown.message, "tenant 'silver' is not one of this node's");
  EXPECT_EQ(schedule_refused([](auto& m) { m.priority = -1; }).param, "priority");
  EXPECT_EQ(schedule_refused([](auto& m) { m.priority = int64_t{1} << 31; }).param, "priority");
  for (const int64_t bad : {int64_t{0}, int64_t{-1}, int64_t{1} << 31}) {
    EXPECT_EQ(schedule_refused([&](auto& m) { m.deadline_ms = bad; }).param, "deadline_ms");
  }
  for (const int64_t bad : {-1, 101}) {
    EXPECT_EQ(schedule_refused([&](auto& m) {
                m.cache_retention = {bad, 1};
              }).param,
              "cache_retention.priority");
  }
  for (const int64_t bad : {0, -1, 31'536'001}) {
    EXPECT_EQ(schedule_refused([&](auto& m) {
                m.cache_retention = {0, bad};
              }).param,
              "cache_retention.seconds");
  }
}

TEST(GenerateParams, NumbersOutOfRangeAreRefusedWithFieldAndValue) {
  const double nan = std::nan("");
  const double inf = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, inf, -0.1, 1e300}) {
    EXPECT_EQ(refused([&](auto& m) { m.temperature = bad; }).param, "temperature") << bad;
  }
  for (const double bad : {nan, inf, -0.1, 1.1}) {
    EXPECT_EQ(refused([&](auto& m) { m.top_p = bad; }).param, "top_p") << bad;
    EXPECT_EQ(refused([&](auto& m) { m.min_p = bad; }).param, "min_p") << bad;
  }
  for (const double bad : {nan, inf, 0.0, -1.0}) {
    EXPECT_EQ(refused([&](auto& m) { m.repetition_penalty = bad; }).param, "repetition_penalty");
  }
  EXPECT_EQ(refused([&](auto& m) { m.presence_penalty = nan; }).param, "presence_penalty");
  EXPECT_EQ(refused([&](auto& m) { m.frequency_penalty = -inf; }).param, "frequency_penalty");
  for (const int64_t bad : {int64_t{0}, int64_t{-1}, int64_t{129}, int64_t{1} << 32}) {
    const Error error = refused([&](auto& m) { m.n = bad; });
    EXPECT_EQ(error.param, "n");
    EXPECT_NE(error.message.find(std::to_string(bad)), std::string::npos) << error.message;
    EXPECT_NE(error.message.find("128"), std::string::npos) << error.message;
  }
  EXPECT_EQ(refused([](auto& m) { m.logprobs = 21; }).param, "logprobs");
  EXPECT_EQ(refused([](auto& m) { m.logprobs = -2; }).param, "logprobs");
  EXPECT_EQ(refused([](auto& m) { m.top_k = -2; }).param, "top_k");
  EXPECT_EQ(refused([](auto& m) { m.max_tokens = 0; }).param, "max_tokens");
  EXPECT_EQ(refused([](auto& m) { m.max_tokens = int64_t{1} << 33; }).param, "max_tokens");
  EXPECT_EQ(refused([](auto& m) { m.min_tokens = -1; }).param, "min_tokens");
}

TEST(GenerateParams, StopStringsAreFewAndNotEmpty) {
  EXPECT_EQ(refused([](auto& m) { m.stop = {"a", ""}; }).param, "stop");
  const Error error = refused([](auto& m) { m.stop.assign(17, "x"); });
  EXPECT_NE(error.message.find("17"), std::string::npos) << error.message;
  wire::Generate m = request();
  m.stop.assign(16, "x");
  EXPECT_TRUE(sampling_params(m, 1));
}

TEST(GenerateParams, StopStringsAndIdsHaveASize) {
  Error error = refused([](auto& m) { m.stop = {"x", std::string(1025, 'y')}; });
  EXPECT_EQ(error.param, "stop");
  EXPECT_NE(error.message.find("1025"), std::string::npos) << error.message;
  error = refused([](auto& m) { m.stop_token_ids.assign(65, 1); });
  EXPECT_EQ(error.param, "stop_token_ids");
  EXPECT_NE(error.message.find("65"), std::string::npos) << error.message;
  wire::Generate m = request();
  m.stop = {std::string(1024, 'y')};
  m.stop_token_ids.assign(64, 1);
  EXPECT_TRUE(sampling_params(m, 1));
}

TEST(GenerateParams, AResumeNeedsASeedAndFinishReasonsThatAnOutputCanHave) {
  wire::Generate m = request();
  m.seed = 5;
  m.n = 2;
  m.emitted = {{{1, 2}, std::nullopt}, {{3}, "stop"}};
  const Result<GenerationRequest> wanted = generation_request(m, {}, 1, {});
  ASSERT_TRUE(wanted);
  ASSERT_EQ(wanted->emitted.size(), 2u);
  EXPECT_EQ(wanted->emitted[0].ids, (std::vector<int32_t>{1, 2}));
  EXPECT_FALSE(wanted->emitted[0].finished);
  EXPECT_EQ(wanted->emitted[1].finished, FinishReason::kStop);
  for (const char* reason : {"error", "cancelled", "", "stopped"}) {
    m.emitted[1].finish_reason = reason;
    const Result<GenerationRequest> refused = generation_request(m, {}, 1, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().param, "emitted[1].finish_reason");
  }
  m.emitted[1].finish_reason = "length";
  m.seed.reset();
  const Result<GenerationRequest> refused = generation_request(m, {}, 1, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "seed");
}

TEST(GenerateParams, EveryPartOfAMessageCountsAsTextToRead) {
  wire::Generate m = request();
  m.prompt_text = "12345";
  EXPECT_EQ(prompt_text_bytes(m), 5u);
  m.prompt_text.reset();
  const std::string big(1000, 'x');
  for (const wire::ChatMessage& message :
       {wire::ChatMessage{big, "", ""}, wire::ChatMessage{"", big, ""},
        wire::ChatMessage{"", "", big}}) {
    m.messages = {message};
    EXPECT_GE(prompt_text_bytes(m), 1000u);
  }
  m.messages.emplace(200);
  EXPECT_GT(prompt_text_bytes(m), 4096u) << "a template spends time on an empty message too";
}

}  // namespace
}  // namespace lockstep
