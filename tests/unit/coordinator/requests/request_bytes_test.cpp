// hold_request_bytes: the size of a request in the budget for bytes in flight, and its refusals.
#include "coordinator/requests/request_bytes.h"

#include <gtest/gtest.h>

#include <string>

#include "wire/codec/sendable.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

wire::Generate request_of(std::string text) {
  wire::Generate request;
  request.request_id = "r";
  request.model = "m";
  request.prompt_text = std::move(text);
  return request;
}

// With an upstream id of the maximum length instead of "r".
size_t n_bytes_of(const wire::Generate& request) {
  return wire::encoded_size(request).n_bytes + wire::kMaxRequestIdBytes - 1;
}

TEST(RequestBytes, ARequestHoldsItsEncodedSizeWithTheLongestId) {
  const auto budget = std::make_shared<ByteBudget>(n_bytes_of(request_of("Hi")));
  const Result<ByteHold> hold = hold_request_bytes(request_of("Hi"), budget);
  ASSERT_TRUE(hold);
  EXPECT_EQ(hold->n_bytes(), n_bytes_of(request_of("Hi")));
  EXPECT_EQ(budget->n_bytes_held(), hold->n_bytes());
}

TEST(RequestBytes, AFullBudgetIsOverloadedAndWhatItCanNeverHoldTooLarge) {
  const size_t n_max = 2 * n_bytes_of(request_of("Hi")) - 1;
  const auto budget = std::make_shared<ByteBudget>(n_max);
  const Result<ByteHold> first = hold_request_bytes(request_of("Hi"), budget);
  ASSERT_TRUE(first);
  const Result<ByteHold> second = hold_request_bytes(request_of("Hi"), budget);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kOverloaded);
  EXPECT_NE(second.error().message.find(std::to_string(n_max)), std::string::npos)
      << second.error().message;
  const Result<ByteHold> large = hold_request_bytes(request_of(std::string(n_max, 'x')), budget);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(budget->n_bytes_held(), first->n_bytes()) << "refused requests hold nothing";
}

TEST(RequestBytes, WithoutABudgetOnlyTheLimitsOfAMessageCount) {
  const Result<ByteHold> hold = hold_request_bytes(request_of("Hi"), nullptr);
  ASSERT_TRUE(hold);
  EXPECT_EQ(hold->n_bytes(), 0u);
  const auto too_large = request_of(std::string(wire::kMaxMessageBytes, 'x'));
  const Result<ByteHold> refused = hold_request_bytes(too_large, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPayloadTooLarge);
}

}  // namespace
}  // namespace lockstep
