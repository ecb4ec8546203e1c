// ZeroMQ clients that attach to a request that another coordinator began.
#include <gtest/gtest.h>

#include <map>

#include "tests/support/coordinator_harness.h"
#include "tests/support/sampled_script.h"
#include "tests/support/temporary_path.h"
#include "tests/support/wire_peer.h"

namespace lockstep::testing {
namespace {

CoordinatorConfig with_key() {
  static const TemporaryPath path;
  path.write(std::string(32, 'k'));
  CoordinatorConfig config;
  config.resume_key_file = path.str();
  return config;
}

wire::Generate generate(int64_t n = 1) {
  wire::Generate out;
  out.request_id = "mine";
  out.model = "tiny";
  out.prompt_text = "Once";
  out.n = n;
  return out;
}

wire::Attach attach(const wire::Generate& request, const std::string& token,
                    std::vector<uint32_t> index) {
  wire::Attach out;
  static_cast<wire::Generate&>(out) = request;
  out.resume_token = token;
  out.index = std::move(index);
  return out;
}

struct Outcome {
  wire::Accepted accepted;
  std::map<uint32_t, ChoiceOutput> choices;
  std::vector<wire::Tokens> pieces;
  std::optional<wire::Done> done;
  std::optional<wire::ErrorReply> error;
};

Outcome read(WirePeer& client) {
  Outcome out;
  while (!out.done && !out.error) {
    std::optional<wire::Message> message = client.receive();
    if (!message) {
      ADD_FAILURE() << "no final message";
      return out;
    }
    if (auto* accepted = std::get_if<wire::Accepted>(&*message)) out.accepted = *accepted;
    if (auto* done = std::get_if<wire::Done>(&*message)) out.done = *done;
    if (auto* error = std::get_if<wire::ErrorReply>(&*message)) out.error = *error;
    if (auto* tokens = std::get_if<wire::Tokens>(&*message)) {
      add_tokens(out.choices[tokens->choice], *tokens);
      out.pieces.push_back(*tokens);
    }
  }
  return out;
}

TEST(Attach, GoesOnAtAnotherCoordinatorFromEveryIndex) {
  FakeNode node(sampled());
  CoordinatorHarness first({&node}, with_key()), second({&node}, with_key());
  WirePeer a(first.app().zmq_endpoint()), b(second.app().zmq_endpoint());
  a.send(generate(2));
  Outcome whole = read(a);
  ASSERT_TRUE(whole.done);
  EXPECT_EQ(whole.accepted.fingerprint, "f");
  ASSERT_NE(whole.accepted.resume_token, "");
  for (size_t n_had = 0; n_had <= whole.pieces.size(); ++n_had) {
    std::vector<uint32_t> index(2, 0);
    std::map<uint32_t, ChoiceOutput> had;
    for (size_t i = 0; i < n_had; ++i) add_tokens(had[whole.pieces[i].choice], whole.pieces[i]);
    for (uint32_t c = 0; c < 2; ++c) index[c] = static_cast<uint32_t>(had[c].ids.size());
    b.send(attach(generate(2), whole.accepted.resume_token, index));
    const Outcome rest = read(b);
    ASSERT_TRUE(rest.done) << rest.error->message;
    EXPECT_EQ(rest.accepted.seed, whole.accepted.seed);
    EXPECT_EQ(rest.accepted.resume_token, whole.accepted.resume_token);
    for (const wire::Tokens& tokens : rest.pieces) add_tokens(had[tokens.choice], tokens);
    for (uint32_t c = 0; c < 2; ++c) {
      EXPECT_EQ(had[c].ids, whole.choices[c].ids) << n_had;
      EXPECT_EQ(had[c].text, whole.choices[c].text) << n_had;
      EXPECT_EQ(had[c].finish_reason, whole.choices[c].finish_reason) << n_had;
      EXPECT_FALSE(had[c].has_gap) << n_had;
    }
    EXPECT_EQ(rest.done->usage.completion_tokens, whole.done->usage.completion_tokens);
  }
}

class AttachRefusals : public ::testing::Test {
 protected:
  AttachRefusals() {
    client_.send(generate());
    const Outcome whole = read(client_);
    token_ = whole.accepted.resume_token;
    seed_ = whole.accepted.seed;
    wire::Generate other = generate();
    other.request_id = "running";
    other.prompt_text = "hang";
    other_.send(other);
    other_.expect<wire::Tokens>();
  }
  ~AttachRefusals() override {
    const wire::Generate running = node_.wait_request(1);
    node_.say(wire::Done{running.request_id, "stop", {1, 0, 1}});
    EXPECT_EQ(other_.expect<wire::Done>().request_id, "running");
    for (const std::string& id : node_.wait_cancels(0)) EXPECT_NE(id, running.request_id);
  }
  void expect_refused(const wire::Attach& request, ErrorCode code, const std::string& param,
                      const std::string& reason) {
    client_.send(request);
    const Outcome outcome = read(client_);
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->request_id, "mine");
    EXPECT_EQ(outcome.error->code, code) << outcome.error->message;
    EXPECT_EQ(outcome.error->param, param) << outcome.error->message;
    if (reason.empty()) return;
    const std::string line = "lockstep_resume_tokens_refused_total{reason=\"" + reason + "\"} ";
    EXPECT_EQ(first_.admin_metrics().find(line + "0\n"), std::string::npos) << line;
  }

  static FakeNode::Script script() {
    return [](const wire::Generate& request) {
      return request.prompt_text == "hang" ? FakeNode::hang_after(1)(request) : sampled()(request);
    };
  }

  FakeNode node_{script()};
  CoordinatorHarness first_{{&node_}, with_key()};
  WirePeer client_{first_.app().zmq_endpoint()}, other_{first_.app().zmq_endpoint()};
  std::string token_;
  uint64_t seed_ = 0;
};

TEST_F(AttachRefusals, WhatNeverWas) {
  expect_refused(attach(generate(), "", {0}), ErrorCode::kInvalidRequest, "resume_token",
                 "malformed");
  expect_refused(attach(generate(), "never", {0}), ErrorCode::kInvalidRequest, "resume_token",
                 "malformed");
  std::string forged = token_;
  forged.back() = forged.back() == 'A' ? 'E' : 'A';
  forged[80] = forged[80] == 'A' ? 'B' : 'A';
  client_.send(attach(generate(), forged, {0}));
  EXPECT_TRUE(read(client_).error);
}

TEST_F(AttachRefusals, AnotherKeyOrVersion) {
  CoordinatorHarness other({&node_});
  WirePeer peer(other.app().zmq_endpoint());
  peer.send(generate());
  expect_refused(attach(generate(), read(peer).accepted.resume_token, {0}), ErrorCode::kForbidden,
                 "resume_token", "forged");
  expect_refused(attach(generate(), "Ag" + token_.substr(2), {0}), ErrorCode::kUnsupportedParameter,
                 "resume_token", "version");
}

TEST_F(AttachRefusals, AnotherRequest) {
  wire::Generate other = generate();
  other.prompt_text = "Twice";
  expect_refused(attach(other, token_, {0}), ErrorCode::kConflict, "resume_token", "body");
  wire::Generate seeded = generate();
  seeded.seed = seed_ + 1;
  expect_refused(attach(seeded, token_, {0}), ErrorCode::kConflict, "resume_token", "body");
  seeded.seed = seed_;
  client_.send(attach(seeded, token_, {1}));
  EXPECT_TRUE(read(client_).done) << "its own seed";
}

TEST_F(AttachRefusals, AnIndexThatDoesNotFit) {
  expect_refused(attach(generate(), token_, {}), ErrorCode::kInvalidRequest, "index", "position");
  expect_refused(attach(generate(), token_, {0, 0}), ErrorCode::kInvalidRequest, "index",
                 "position");
  expect_refused(attach(generate(), token_, {9}), ErrorCode::kInvalidRequest, "index", "");
}

TEST_F(AttachRefusals, AFingerprintThatNoNodeHas) {
  FakeNode changed(sampled(), "tiny", 1, "g");
  CoordinatorHarness after({&changed}, with_key());
  WirePeer client(after.app().zmq_endpoint());
  client.send(attach(generate(), token_, {0}));
  const auto error = client.expect<wire::ErrorReply>();
  EXPECT_EQ(error.code, ErrorCode::kConflict);
  EXPECT_EQ(error.param, "resume_token");
}

TEST_F(AttachRefusals, AClientCannotSayWhatWasEmitted) {
  wire::Generate request = generate();
  request.emitted = {{{1, 2, 3}, std::nullopt}};
  client_.send(request);
  const Outcome outcome = read(client_);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->param, "emitted");
}

}  // namespace
}  // namespace lockstep::testing
