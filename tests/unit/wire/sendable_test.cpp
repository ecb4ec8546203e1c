// Sendable: the sender's check gives the same result as the reader's.
#include "wire/codec/sendable.h"

#include <gtest/gtest.h>

#include "tests/unit/wire/samples.h"
#include "wire/codec/codec.h"
#include "wire/codec/scan.h"
#include "wire/zmq/socket.h"

namespace lockstep::wire {
namespace {

Tokenize with_text(size_t n_bytes) {
  Tokenize message;
  message.request_id = "t";
  message.model = "m";
  message.prompt = std::string(n_bytes, 'x');
  return message;
}

Detokenize with_ids(size_t n_ids) {
  Detokenize message;
  message.request_id = "d";
  message.model = "m";
  message.tokens.assign(n_ids, 7);
  return message;
}

TEST(Sendable, TheSizeIsThatOfTheEncodedMessage) {
  for (const Message& message : testing::one_of_each()) {
    const std::string bytes = encode(message);
    const EncodedSize size = encoded_size(message);
    EXPECT_EQ(size.n_bytes, bytes.size()) << type_name(message);
    EXPECT_TRUE(scan_msgpack(bytes, {.max_values = size.n_values})) << type_name(message);
    EXPECT_FALSE(scan_msgpack(bytes, {.max_values = size.n_values - 1})) << type_name(message);
  }
}

TEST(Sendable, EveryWidthOfALengthIsMeasured) {
  for (const size_t n : {0u, 31u, 32u, 255u, 256u, 65535u, 65536u}) {
    for (const Message& message : {Message(with_text(n)), Message(with_ids(n))}) {
      EXPECT_EQ(encoded_size(message).n_bytes, encode(message).size()) << n;
    }
  }
  for (const int64_t n : {-1L << 40, -70000L, -200L, -40L, -3L, 0L, 200L, 70000L, 1L << 40}) {
    Generate message;
    message.priority = n;
    message.prompt_text = "a\xFF";  // the ill-formed byte is replaced
    EXPECT_EQ(encoded_size(message).n_bytes, encode(message).size()) << n;
  }
  Tokens raw;  // with bytes that are not UTF-8
  for (const size_t n : {1u, 255u, 256u, 70000u}) {
    raw.logprobs = {{std::string(n, '\xFF'), 0, {}}};
    EXPECT_EQ(encoded_size(raw).n_bytes, encode(raw).size()) << n;
  }
}

TEST(Sendable, WhatIsSendableDecodesAndWhatIsNotDoesNot) {
  const size_t n_other_bytes = encoded_size(with_text(0)).n_bytes + 4;  // of a longer length
  const size_t n_other_values = encoded_size(with_ids(1)).n_values - 1;
  const Message cases[] = {
      with_text(kMaxMessageBytes - n_other_bytes), with_text(kMaxMessageBytes - n_other_bytes + 1),
      with_ids(kMaxValues - n_other_values), with_ids(kMaxValues - n_other_values + 1)};
  for (size_t i = 0; i < 4; ++i) {
    const bool fits = i % 2 == 0;
    EXPECT_EQ(bool(check_sendable(cases[i])), fits) << i;
    EXPECT_EQ(bool(decode(encode(cases[i]))), fits) << i;
  }
  const Error too_long = check_sendable(cases[1]).error();
  EXPECT_EQ(too_long.code, ErrorCode::kPayloadTooLarge);
  EXPECT_NE(too_long.message.find(std::to_string(kMaxMessageBytes + 1)), std::string::npos);
  EXPECT_NE(too_long.message.find(std::to_string(kMaxMessageBytes)), std::string::npos);
  const Error too_many = check_sendable(cases[3]).error();
  EXPECT_EQ(too_many.code, ErrorCode::kPayloadTooLarge);
  EXPECT_NE(too_many.message.find("1048577 values"), std::string::npos) << too_many.message;
}

TEST(Sendable, AReplyThatCannotBeReadBecomesAnErrorOfTheSameRequest) {
  const Detokenized reply{"q-1", std::string(kMaxMessageBytes, 'x')};
  const std::string bytes = encode_sendable(reply);
  const Result<Message> decoded = decode(bytes);
  ASSERT_TRUE(decoded);
  const auto* error = std::get_if<ErrorReply>(&*decoded);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->request_id, "q-1");
  EXPECT_EQ(error->code, ErrorCode::kPayloadTooLarge);
  EXPECT_NE(error->message.find("'detokenized'"), std::string::npos) << error->message;
  const Detokenized small{"q-1", "x"};
  EXPECT_EQ(encode_sendable(small), encode(small));
}

TEST(Sendable, TheLimitsOfTheDoorsNest) {
  EXPECT_LT(kMaxBodyBytes, kMaxMessageBytes);
  EXPECT_LT(kMaxMessageBytes, kMaxFrameBytes);
  EXPECT_EQ(SocketOptions().max_frame_bytes, static_cast<int64_t>(kMaxFrameBytes));
  EXPECT_LT(kMaxJsonValues, kMaxValues);
  const Generate all = testing::full_generate();
  const EncodedSize size = encoded_size(all);  // more fields than a body can leave out
  EXPECT_LT(size.n_values, kMaxValues - kMaxJsonValues);
  EXPECT_LT(size.n_bytes + kMaxRequestIdBytes + kMaxTenantBytes + kMaxModelNameBytes,
            kMaxMessageBytes - kMaxBodyBytes);
}

}  // namespace
}  // namespace lockstep::wire
