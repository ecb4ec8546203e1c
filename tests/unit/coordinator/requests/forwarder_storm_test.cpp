// Forwarder: nodes that die, restart, drain, stall and lose messages at random. Whatever happens,
// each client gets the outputs of an undisturbed run, each once, and one final message.
#include <algorithm>

#include "common/hash64.h"
#include "common/log.h"
#include "tests/support/random.h"
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

// A node whose outputs are a pure function of the seed, the choice and the index, as those of nodes
// with one fingerprint are. It continues a request behind what was emitted.
class PureNode {
 public:
  static constexpr uint32_t kLength = 40;  // outputs of every choice

  static int32_t output(uint64_t seed, size_t choice, size_t index) {
    return static_cast<int32_t>(mix64(seed * 1000003 + choice * 8191 + index) % 50000);
  }

  void start(const wire::Generate& request) {
    Run run{request, {}, {}};
    for (size_t c = 0; c < static_cast<size_t>(request.n); ++c) {
      const bool is_new = request.emitted.empty();
      run.next.push_back(is_new ? 0 : request.emitted[c].ids.size());
      for (size_t i = 0; !is_new && i < request.emitted[c].ids.size(); ++i)
        EXPECT_EQ(request.emitted[c].ids[i], output(*request.seed, c, i)) << "as it was sent";
      run.ended.push_back(!is_new && request.emitted[c].finish_reason.has_value());
    }
    runs.push_back(run);
  }
  void cancel(const std::string& id) {
    std::erase_if(runs, [&](const Run& run) { return run.request.request_id == id; });
  }

  struct Run {
    wire::Generate request;
    std::vector<size_t> next;  // [n]
    std::vector<bool> ended;   // [n]
    bool accepted = false;
  };
  std::vector<Run> runs;
  uint64_t epoch = 1;
  bool draining = false;
};

class ForwarderStormTest : public ForwarderTest {
 protected:
  // The node's part of one step of one run. `lose`: the message does not arrive.
  void step(uint32_t node, size_t run_idx, bool lose) {
    PureNode& at = pure_[node];
    PureNode::Run& run = at.runs[run_idx];
    const std::string id = run.request.request_id;
    if (!std::exchange(run.accepted, true)) {
      forwarder_->on_node_message(NodeId{node}, wire::Accepted{id, *run.request.seed, "", {}, 2});
      return;
    }
    for (size_t c = 0; c < run.next.size(); ++c) {
      if (run.ended[c]) continue;
      wire::Tokens tokens;
      tokens.request_id = id;
      tokens.epoch = at.epoch;
      tokens.attempt = run.request.attempt;
      tokens.choice = static_cast<uint32_t>(c);
      tokens.first_index = static_cast<uint32_t>(run.next[c]);
      tokens.ids = {PureNode::output(*run.request.seed, c, run.next[c])};
      run.ended[c] = ++run.next[c] == PureNode::kLength;
      if (run.ended[c]) tokens.finish_reason = "length";
      if (!lose) forwarder_->on_node_message(NodeId{node}, tokens);
      return;
    }
    const uint64_t n_outputs = run.next.size() * PureNode::kLength;
    at.runs.erase(at.runs.begin() + static_cast<int64_t>(run_idx));
    forwarder_->on_node_message(NodeId{node}, wire::Done{id, "length", {2, 0, n_outputs}});
  }
  // Gives the nodes what the forwarder sent since the last call.
  void carry() {
    for (; n_carried_ < links_.sent.size(); ++n_carried_) {
      auto& [node, message] = links_.sent[n_carried_];
      if (auto* request = std::get_if<wire::Generate>(&message)) pure_[raw(node)].start(*request);
      if (auto* cancel = std::get_if<wire::Cancel>(&message))
        pure_[raw(node)].cancel(cancel->request_id);
    }
  }
  void restart(uint32_t node) {
    PureNode& at = pure_[node];
    at.runs.clear();
    at.draining = false;
    node_is_ready(node, ++at.epoch);
    forwarder_->on_node_lost(NodeId{node});
  }
  void beat(uint32_t node) {
    wire::Heartbeat heartbeat;
    heartbeat.epoch = pure_[node].epoch;
    heartbeat.draining = pure_[node].draining;
    nodes_.on_heartbeat(NodeId{node}, heartbeat);
    forwarder_->on_heartbeat(NodeId{node});
  }

  std::array<PureNode, 3> pure_;
  size_t n_carried_ = 0;
};

TEST_F(ForwarderStormTest, EveryTranscriptIsThatOfAnUndisturbedRun) {
  SeededRandom random(20261130);
  make({.queue_timeout = milliseconds{60'000}, .resume_timeout = milliseconds{60'000}});
  for (uint32_t node : {0, 1, 2}) node_is_ready(node);
  constexpr int kRequests = 60;
  int n_submitted = 0, n_events = 0;
  while (n_submitted < kRequests || forwarder_->n_inflight() > 0) {
    ASSERT_LT(++n_events, 200'000);
    if (n_submitted < kRequests && random.chance(0.02)) {
      wire::Generate request = generate(str("r", n_submitted), 1 + n_submitted % 3);
      request.seed = static_cast<uint64_t>(n_submitted++);
      forwarder_->submit(client(), request);
    }
    carry();
    const auto node = static_cast<uint32_t>(random.integer(0, 2));
    PureNode& at = pure_[node];
    if (random.chance(0.0005)) restart(node);
    if (random.chance(0.002)) at.draining = !at.draining;
    if (random.chance(0.0005)) {  // the connection breaks; the process goes on for a while
      nodes_.on_disconnected(NodeId{node});
      forwarder_->on_node_lost(NodeId{node});
      node_is_ready(node, at.epoch);
    }
    if (random.chance(0.05)) beat(node);
    if (!at.runs.empty()) {
      const auto idx = random.integer(0, static_cast<int64_t>(at.runs.size()) - 1);
      step(node, static_cast<size_t>(idx), random.chance(0.001));
    }
    clock_.advance(milliseconds{1});
    forwarder_->tick();
    forwarder_->check_invariants();
  }
  std::map<std::string, int> n_final;
  for (const auto& done : replies_->all<wire::Done>()) ++n_final[done.request_id];
  for (const auto& error : replies_->all<wire::ErrorReply>()) {
    // Two losses without progress in between may hit a request by chance.
    EXPECT_EQ(error.message, "2 nodes that ran this request were lost");
    ++n_final[error.request_id];
  }
  ASSERT_EQ(n_final.size(), static_cast<size_t>(kRequests));
  EXPECT_GE(replies_->all<wire::Done>().size(), size_t{kRequests} / 4);
  std::map<std::pair<std::string, uint32_t>, std::vector<int32_t>> transcripts;
  for (const wire::Tokens& tokens : replies_->all<wire::Tokens>()) {
    auto& ids = transcripts[{tokens.request_id, tokens.choice}];
    ASSERT_EQ(tokens.first_index, ids.size());
    ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
  }
  for (const wire::Done& done : replies_->all<wire::Done>()) {
    EXPECT_EQ(n_final[done.request_id], 1);
    const uint64_t seed = std::stoull(done.request_id.substr(1));
    for (uint32_t c = 0; c < 1 + seed % 3; ++c) {
      const auto& ids = transcripts[{done.request_id, c}];
      ASSERT_EQ(ids.size(), PureNode::kLength) << done.request_id;
      for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i], PureNode::output(seed, c, i));
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
