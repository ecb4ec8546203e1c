// ClientRequest: the id and the model of each kind, and a request that is sent again.
#include "coordinator/requests/client_request.h"

#include <gtest/gtest.h>

#include <string>

#include "wire/codec/codec.h"

namespace lockstep {
namespace {

wire::Generate generate() {
  wire::Generate request;
  request.request_id = "r";
  request.model = "m";
  request.prompt_text = "Hi";
  return request;
}

TEST(ClientRequest, EachKindHasAnIdAndAModel) {
  const wire::Tokenize tokenize{"t", "", "Hi", {}, {}, {}};
  const wire::Detokenize detokenize{"d", "m", {1, 2}};
  for (ClientRequest request :
       {ClientRequest(generate()), ClientRequest(tokenize), ClientRequest(detokenize)}) {
    EXPECT_FALSE(id_of(request).empty());
    set_model_if_empty(request, "first");
    EXPECT_EQ(model_of(request), id_of(request) == "t" ? "first" : "m");
    const ClientRequest before = request;
    const std::string sent = encode_attempt(request, {.request_id = "upstream"});
    EXPECT_EQ(request, before);
    std::visit([](auto& r) { r.request_id = "upstream"; }, request);
    EXPECT_EQ(sent, std::visit([](const auto& r) { return wire::encode(r); }, request));
  }
}

TEST(ClientRequest, AnAttemptHasItsOwnFieldsAndLeavesTheRequestAsItWas) {
  wire::Generate original = generate();
  original.deadline_ms = 900;
  original.emitted = {{{}, std::nullopt, 4}};
  ClientRequest request = original;
  const std::string sent = encode_attempt(
      request, {.request_id = "up", .attempt = 3, .emitted = {{{1, 2}, "stop"}}, .deadline_ms = 5});
  EXPECT_EQ(request, ClientRequest(original));
  original.request_id = "up";
  original.attempt = 3;
  original.emitted = {{{1, 2}, "stop"}};
  original.deadline_ms = 5;
  EXPECT_EQ(sent, wire::encode(original));
}

TEST(ClientRequest, AnAttemptMayBringThePrompt) {
  wire::Generate original = generate();
  original.prompt_text.reset();
  ClientRequest request = original;
  std::vector<int32_t> ids = {7, 9};
  const std::string sent = encode_attempt(request, {.request_id = "up", .prompt_ids = &ids});
  EXPECT_EQ(request, ClientRequest(original));
  EXPECT_EQ(ids, (std::vector<int32_t>{7, 9}));
  original.request_id = "up";
  original.prompt_ids = ids;
  EXPECT_EQ(sent, wire::encode(original));
}

TEST(ClientRequest, WhatWasFilledInMayBeLeftOutAgain) {
  wire::Generate original = generate();
  original.seed = 7;
  EXPECT_TRUE(is_same_request(original, original));
  wire::Generate bare = generate();
  bare.model.clear();
  EXPECT_TRUE(is_same_request(bare, original)) << "its seed and its model were filled in";
  EXPECT_TRUE(is_same_request(wire::Tokenize{"r", "", "Hi", {}, {}, {}},
                              wire::Tokenize{"r", "m", "Hi", {}, {}, {}}));
}

TEST(ClientRequest, ADifferentRequestIsNotARepetition) {
  wire::Generate original = generate();
  original.seed = 7;
  wire::Generate other_seed = generate();
  other_seed.seed = 8;
  wire::Generate other_text = generate();
  other_text.prompt_text = "Ho";
  EXPECT_FALSE(is_same_request(other_seed, original));
  EXPECT_FALSE(is_same_request(other_text, original));
  EXPECT_FALSE(is_same_request(wire::Tokenize{"r", "m", "Hi", {}, {}, {}}, original))
      << "another kind";
}

}  // namespace
}  // namespace lockstep
