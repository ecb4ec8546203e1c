// KvLinks: the sockets between a node that publishes KV events and the coordinator's index.
#include "coordinator/index/kv_links.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <future>
#include <thread>

#include "tests/unit/coordinator/index/event_node.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::EventNode;

constexpr NodeId kNode{0};

wire::Socket make(wire::Context& context, wire::SocketKind kind) {
  Result<wire::Socket> socket = wire::Socket::make(context, kind);
  EXPECT_TRUE(socket);
  return std::move(*socket);
}

// A node's two sockets. The test's thread calls answer().
class PublishingNode {
 public:
  PublishingNode(wire::Context& context, uint64_t epoch)
      : events_(make(context, wire::SocketKind::kPublisher)),
        replays_(make(context, wire::SocketKind::kRouter)),
        node_(epoch, 1000, 8) {
    EXPECT_TRUE(events_.bind("tcp://127.0.0.1:0"));
    EXPECT_TRUE(replays_.bind("tcp://127.0.0.1:0"));
  }

  EventNode& cache() { return node_; }
  wire::Welcome welcome() const {
    wire::Welcome out;
    out.epoch = node_.epoch();
    out.n_kv_blocks = 1000;
    // As a node that listens on every address says it.
    out.events = "tcp://0.0.0.0" + events_.endpoint().substr(events_.endpoint().rfind(':'));
    out.events_replay = "tcp://*" + replays_.endpoint().substr(replays_.endpoint().rfind(':'));
    return out;
  }
  wire::Heartbeat heartbeat() const {
    wire::Heartbeat out;
    out.epoch = node_.epoch();
    out.kv_seq = node_.seq();
    out.kv_digest = node_.digest();
    return out;
  }
  // The blocks of one batch, which is published unless it is to be lost.
  void store(std::initializer_list<uint64_t> chain, bool is_lost = false) {
    std::optional<uint64_t> parent;
    for (uint64_t hash : chain) {
      node_.store(parent, hash);
      parent = hash;
    }
    const auto batch = node_.end_turn();
    if (is_lost || !batch) return;
    const std::string seq = wire::encode_kv_sequence(batch->seq);
    const std::string_view frames[] = {"kv@here@m", seq, batch->bytes};
    EXPECT_TRUE(events_.send("", frames));
  }
  void publish_nonsense() {
    const std::string_view frames[] = {"kv@here@m", "seven", "batch", "and", "more"};
    EXPECT_TRUE(events_.send("", frames));
  }
  // Answers the requests that have come.
  void answer() {
    for (;;) {
      Result<std::optional<wire::Incoming>> in = replays_.receive();
      if (!in || !*in) return;
      ++n_requests_;
      KvRequest request;
      if ((*in)->second() != wire::kKvSnapshotRequest) {
        request.kind = KvRequest::Kind::kReplay;
        request.first = wire::decode_kv_sequence((*in)->second()).value_or(0);
      }
      for (const EventNode::Message& message : node_.answer(request)) {
        const std::string seq = wire::encode_kv_sequence(message.seq);
        const std::string_view topic = message.is_end ? "" : "kv@here@m";
        const std::string_view frames[] = {"", topic, seq, message.bytes};
        EXPECT_TRUE(replays_.send((*in)->peer, frames));
      }
    }
  }
  int n_requests() const { return n_requests_; }

 private:
  wire::Socket events_, replays_;
  EventNode node_;
  int n_requests_ = 0;
};

class KvLinksTest : public ::testing::Test {
 protected:
  KvLinksTest() {
    loop_.every(5ms, [this] {
      links_.tick();
      if (node_) node_->answer();
    });
  }
  ~KvLinksTest() override { loop_.stop(); }

  // Runs on the loop's thread, where the node and the links are used.
  void run(std::function<void()> task) {
    std::promise<void> done;
    ASSERT_TRUE(loop_.post([&] {
      task();
      done.set_value();
    }));
    done.get_future().wait();
  }
  bool wait(std::function<bool()> condition) {
    bool holds = false;
    for (int i = 0; i < 2000 && !holds; ++i) {
      run([&] {
        if (node_) links_.on_heartbeat(kNode, node_->heartbeat());
        holds = condition();
      });
      if (!holds) std::this_thread::sleep_for(10ms);
    }
    return holds;
  }
  // The published status follows what the node has.
  bool wait_equal() {
    return wait([&] {
      const NodeKvStatus status = links_.status()[0];
      return status.state == "following" && status.n_batches_behind == 0 &&
             status.n_blocks == node_->cache().n_blocks() && links_.slot(kNode) &&
             links_.index().n_blocks(*links_.slot(kNode)) == node_->cache().n_blocks();
    });
  }
  void start(uint64_t epoch) {
    node_.emplace(context_, epoch);
    node_->store({1, 2, 3});
    const wire::Welcome welcome = node_->welcome();
    links_.follow(kNode, &welcome);
  }
  uint64_t n_resyncs(KvResyncCause cause) {
    uint64_t n = 0;
    run([&] { n = links_.status()[0].n_resyncs[static_cast<size_t>(cause)]; });
    return n;
  }
  std::string page() { return prometheus::TextSerializer().Serialize(registry_->Collect()); }

  wire::Context context_;
  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  CoordinatorProbes probes_{registry_};
  SteadyClock clock_;
  wire::ZmqLoop loop_;
  std::optional<PublishingNode> node_;
  KvLinks links_{{"tcp://127.0.0.1:1"}, context_, loop_, clock_, probes_};
};

TEST_F(KvLinksTest, TheIndexFollowsANodeFromASnapshotOn) {
  start(7);
  loop_.start();
  ASSERT_TRUE(wait_equal());
  run([&] { node_->store({1, 2, 4, 5}); });
  ASSERT_TRUE(wait_equal());
  run([&] { EXPECT_TRUE(links_.index().contains(*links_.slot(kNode), 5)); });
  EXPECT_EQ(n_resyncs(KvResyncCause::kStart), 1);
  EXPECT_NE(page().find("lockstep_index_blocks{node=\"tcp://127.0.0.1:1\"} 5"), std::string::npos)
      << page();
}

TEST_F(KvLinksTest, ALostBatchIsReplayed) {
  start(7);
  loop_.start();
  ASSERT_TRUE(wait_equal());
  run([&] { node_->store({10, 11}, true); });
  ASSERT_TRUE(wait_equal());
  EXPECT_GE(n_resyncs(KvResyncCause::kLag) + n_resyncs(KvResyncCause::kGap), 1);
  EXPECT_EQ(n_resyncs(KvResyncCause::kDigest), 0);
}

TEST_F(KvLinksTest, ANodeThatRestartsIsLoadedAnewAndOneThatIsGoneIsForgotten) {
  start(7);
  loop_.start();
  ASSERT_TRUE(wait_equal());
  run([&] {
    links_.follow(kNode, nullptr);
    EXPECT_FALSE(links_.slot(kNode));
    start(8);
    node_->store({20, 21, 22, 23});
  });
  ASSERT_TRUE(wait_equal());
  run([&] { links_.follow(kNode, nullptr); });
  EXPECT_TRUE(wait([&] { return !links_.index().needs_sweep(); }));
  EXPECT_TRUE(wait([&] { return links_.status()[0].n_blocks == 0; }));
  run([&] { EXPECT_EQ(links_.index().n_entries(), 0); });
  EXPECT_NE(page().find("lockstep_index_blocks{node=\"tcp://127.0.0.1:1\"} 0"), std::string::npos);
}

TEST_F(KvLinksTest, TheSameWelcomeTwiceAsksOnce) {
  start(7);
  const wire::Welcome welcome = node_->welcome();
  links_.follow(kNode, &welcome);
  loop_.start();
  ASSERT_TRUE(wait_equal());
  run([&] { EXPECT_EQ(node_->n_requests(), 1); });
}

TEST_F(KvLinksTest, NonsenseCostsASnapshotOnly) {
  start(7);
  loop_.start();
  ASSERT_TRUE(wait_equal());
  run([&] { node_->store({1, 2, 4}); });  // when it has arrived, the subscription stands
  ASSERT_TRUE(wait_equal());
  EXPECT_TRUE(wait([&] {
    node_->publish_nonsense();
    return links_.status()[0].n_resyncs[static_cast<size_t>(KvResyncCause::kMalformed)] > 0;
  }));
  EXPECT_TRUE(wait_equal());
}

TEST_F(KvLinksTest, ANodeWithoutReplayOrWithoutEventsIsLeftOut) {
  node_.emplace(context_, 7);
  wire::Welcome welcome = node_->welcome();
  welcome.events_replay.clear();
  links_.follow(kNode, &welcome);
  links_.follow(kNode, nullptr);
  welcome.events.clear();
  links_.follow(kNode, &welcome);
  loop_.start();
  std::this_thread::sleep_for(100ms);
  run([&] {
    EXPECT_EQ(links_.status()[0], NodeKvStatus());
    EXPECT_EQ(node_->n_requests(), 0);
  });
}

}  // namespace
}  // namespace lockstep
