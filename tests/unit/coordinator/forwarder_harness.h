// A Forwarder between recorded nodes and clients: each is a list of the messages that it received.
#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/requests/forwarder.h"
#include "tests/support/fake_clock.h"
#include "wire/codec/codec.h"

namespace lockstep::testing {

using std::chrono::milliseconds;

// Records the messages to the nodes; a test can disconnect a node.
class FakeLinks final : public NodeLinks {
 public:
  bool send(NodeId node, const wire::Message& message) override {
    if (cut_off.count(raw(node)) > 0) return false;
    sent.emplace_back(node, message);
    return true;
  }
  bool send_encoded(NodeId node, std::string_view bytes) override {
    return send(node, wire::decode(bytes).value());
  }
  template <class M>
  std::vector<M> all() const {
    std::vector<M> out;
    for (const auto& [node, message] : sent) {
      if (const M* m = std::get_if<M>(&message)) out.push_back(*m);
    }
    return out;
  }
  NodeId last_node() const { return sent.back().first; }

  std::vector<std::pair<NodeId, wire::Message>> sent;
  std::map<uint32_t, bool> cut_off;
};

class FakeReplies final : public ReplySink {
 public:
  void deliver(wire::Message message) override { got.push_back(std::move(message)); }
  template <class M>
  std::vector<M> all() const {
    std::vector<M> out;
    for (const wire::Message& message : got) {
      if (const M* m = std::get_if<M>(&message)) out.push_back(*m);
    }
    return out;
  }
  size_t n_final_messages() const {
    return all<wire::Done>().size() + all<wire::ErrorReply>().size() +
           all<wire::Tokenized>().size() + all<wire::Detokenized>().size();
  }

  std::vector<wire::Message> got;
};

class ForwarderTest : public ::testing::Test {
 protected:
  // A request that loses its node and finds no other one ends at once.
  ForwarderTest() { make({.resume_timeout = milliseconds{0}}); }

  void make(ForwarderConfig config, RoutingPolicy policy = RoutingPolicy::kRoundRobin,
            PromptEncoder* encoder = nullptr) {
    Router router({.policy = policy},
                  {.n_nodes = nodes_.nodes().size(), .clock = clock_, .log = &routes_});
    forwarder_.emplace(nodes_, std::move(router), links_, clock_, probes_, config, encoder);
  }
  void node_is_ready(uint32_t node, uint64_t epoch = 1, const std::string& model = "m",
                     const std::string& fingerprint = "", uint64_t max_model_len = 2048) {
    wire::Welcome welcome;
    welcome.epoch = epoch;
    welcome.fingerprint = fingerprint;
    welcome.models = {{model, 1, max_model_len}};
    welcome.max_num_seqs = 4;
    nodes_.on_welcome(NodeId{node}, welcome);
  }
  // Advances the clock in small steps, with NodeTable::expire() after each.
  void watch_nodes(milliseconds time) {
    for (; time > milliseconds{0}; time -= milliseconds{100}) {
      clock_.advance(milliseconds{100});
      nodes_.expire();
    }
  }
  wire::Generate generate(const std::string& id = "r", int64_t n = 1) {
    wire::Generate out;
    out.request_id = id;
    out.model = "m";
    out.prompt_text = "Hi";
    out.n = n;
    return out;
  }
  Client client(const std::string& key = "c") { return {key, replies_}; }
  // The upstream id of the last request.
  std::string upstream() const { return links_.all<wire::Generate>().back().request_id; }
  void tokens(std::vector<int32_t> ids, uint32_t first_index, uint64_t epoch = 1,
              uint32_t choice = 0, uint32_t node = 0) {
    wire::Tokens message;
    message.request_id = upstream();
    message.attempt = links_.all<wire::Generate>().back().attempt;
    message.choice = choice;
    message.first_index = first_index;
    message.ids = std::move(ids);
    message.text = "x";
    message.epoch = epoch;
    forwarder_->on_node_message(NodeId{node}, message);
  }
  // The node sends an error about the last request.
  void error(uint32_t node, ErrorCode code, const std::string& message = "no") {
    forwarder_->on_node_message(NodeId{node}, wire::ErrorReply{upstream(), code, message, ""});
  }
  // The nodes that generate messages were sent to, in order.
  std::vector<uint32_t> nodes_asked() const {
    std::vector<uint32_t> out;
    for (const auto& [node, message] : links_.sent) {
      if (std::holds_alternative<wire::Generate>(message)) out.push_back(raw(node));
    }
    return out;
  }
  void done() { forwarder_->on_node_message(NodeId{0}, wire::Done{upstream(), "stop", {2, 1, 0}}); }
  Error only_error() const {
    const auto errors = replies_->all<wire::ErrorReply>();
    EXPECT_EQ(errors.size(), 1u);
    return errors.empty() ? Error{} : Error{errors[0].code, errors[0].message, errors[0].param};
  }

  // Returns true if the Prometheus page has this line with the prefix lockstep_coordinator_.
  bool page_has(const std::string& line) const {
    const std::string page = prometheus::TextSerializer().Serialize(registry_->Collect());
    return page.find("lockstep_coordinator_" + line + "\n") != std::string::npos;
  }

  FakeClock clock_;
  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  CoordinatorProbes probes_{registry_};
  NodeTable nodes_{{"tcp://a", "tcp://b", "tcp://c"}, clock_};
  RouteLog routes_;
  FakeLinks links_;
  std::shared_ptr<FakeReplies> replies_ = std::make_shared<FakeReplies>();
  std::optional<Forwarder> forwarder_;
};

}  // namespace lockstep::testing
