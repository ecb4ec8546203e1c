// KV events over real ZeroMQ, from a node with a null model: live, replayed and as a snapshot, and
// as what the heartbeat says of them.
#include "node/service/server/event_publisher.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <thread>
#include <zmq.hpp>

#include "tests/support/node_harness.h"
#include "wire/codec/kv_events.h"

namespace lockstep {
namespace {

using testing::NodeHarness;
using testing::WirePeer;
using Frames = std::vector<std::string>;

struct Batch {
  std::string topic;
  uint64_t seq = 0;
  nlohmann::json payload;  // [ts, events, rank, epoch]
};

// The resident blocks, as a router follows them by the events alone.
struct Follower {
  std::map<uint64_t, nlohmann::json> tokens;  // of each block
  uint64_t digest = 0;
  uint64_t next = 0;

  void apply(const nlohmann::json& event) {
    if (event["type"] == "AllBlocksCleared") {
      tokens.clear();
      digest = 0;
      return;
    }
    const auto hashes = event["block_hashes"].get<std::vector<uint64_t>>();
    const bool stored = event["type"] == "BlockStored";
    for (size_t i = 0; i < hashes.size(); ++i) {
      digest += stored ? hashes[i] : 0 - hashes[i];
      if (!stored) {
        EXPECT_EQ(tokens.erase(hashes[i]), 1u);
        continue;
      }
      const auto size = event["block_size"].get<size_t>();
      const auto& all = event["token_ids"];
      EXPECT_EQ(all.size(), hashes.size() * size);
      const auto first = all.begin() + static_cast<int64_t>(i * size);
      EXPECT_TRUE(
          tokens.emplace(hashes[i], nlohmann::json(std::vector<int>(first, first + int64_t(size))))
              .second);
    }
  }
  void apply(const Batch& batch) {
    for (const auto& event : batch.payload[1]) apply(event);
  }
};

class EventPeer {
 public:
  EventPeer(zmq::socket_type type, const std::string& endpoint) : socket_(context_, type) {
    socket_.set(zmq::sockopt::linger, 0);
    if (type == zmq::socket_type::sub) socket_.set(zmq::sockopt::subscribe, "");
    socket_.connect(endpoint);
  }
  void send(const Frames& frames) {
    for (size_t i = 0; i < frames.size(); ++i) {
      const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
      ASSERT_TRUE(socket_.send(zmq::buffer(frames[i]), more));
    }
  }
  // Empty when nothing comes.
  Frames receive(std::chrono::milliseconds timeout = WirePeer::kTimeout) {
    zmq_pollitem_t item{socket_.handle(), 0, ZMQ_POLLIN, 0};
    Frames frames;
    if (zmq_poll(&item, 1, timeout.count()) <= 0) return frames;
    zmq::message_t frame;
    do {
      if (!socket_.recv(frame)) break;
      frames.push_back(frame.to_string());
    } while (frame.more());
    return frames;
  }
  std::optional<Batch> receive_batch(std::chrono::milliseconds timeout = WirePeer::kTimeout) {
    const Frames frames = receive(timeout);
    if (frames.size() != 3) return std::nullopt;
    return Batch{frames[0], *wire::decode_kv_sequence(frames[1]),
                 nlohmann::json::from_msgpack(frames[2])};
  }
  // All batches of an answer; checks its end.
  std::vector<Batch> ask(const std::string& what) {
    send({"", what});
    std::vector<Batch> batches;
    while (true) {
      const Frames frames = receive();
      EXPECT_EQ(frames.size(), 4u);
      if (frames.size() != 4) return batches;
      EXPECT_EQ(frames[0], "");
      if (frames[2] == std::string(8, '\xff')) {
        EXPECT_EQ(frames[1] + frames[3], "");
        return batches;
      }
      batches.push_back({frames[1], *wire::decode_kv_sequence(frames[2]),
                         nlohmann::json::from_msgpack(frames[3])});
    }
  }

 private:
  zmq::context_t context_;
  zmq::socket_t socket_;
};

struct Published {
  explicit Published(int32_t n_kv_blocks = 64) : node(options(n_kv_blocks)) {}
  static NodeHarness::Options options(int32_t n_kv_blocks) {
    NodeHarness::Options options;
    options.n_kv_blocks = n_kv_blocks;
    options.events = true;
    return options;
  }
  const EventPublisher& events() { return *node.server().events(); }
  EventPeer subscriber() { return {zmq::socket_type::sub, events().endpoint()}; }
  EventPeer replayer() { return {zmq::socket_type::dealer, events().replay_endpoint()}; }
  // A prompt of 60 tokens that is like no other's, 20 output tokens: 4 full blocks and more.
  void generate(const std::string& id, const std::string& salt = {}) {
    WirePeer peer(node.endpoint());
    wire::Generate request = NodeHarness::request(id, 20);
    request.prompt_text = id + std::string(60 - id.size(), 'x');
    request.cache_salt = salt;
    peer.send(request);
    peer.expect<wire::Done>();
  }
  wire::Heartbeat status() {
    WirePeer peer(node.endpoint());
    peer.send(wire::StatusRequest{"s"});
    return peer.expect<wire::Heartbeat>();
  }

  NodeHarness node;
};

// Until something came, so that nothing later is missed.
void wait_subscribed(Published& published, EventPeer& subscriber, Follower& follower) {
  for (int i = 0; i < 1000; ++i) {
    published.generate("warm" + std::to_string(i));
    if (const auto batch = subscriber.receive_batch(std::chrono::milliseconds{50})) {
      auto router = published.replayer();
      for (const Batch& b : router.ask(wire::encode_kv_sequence(0))) {
        if (b.seq < batch->seq) follower.apply(b);
      }
      follower.apply(*batch);
      follower.next = batch->seq + 1;
      return;
    }
  }
  FAIL() << "no subscription";
}

TEST(EventPublisher, AFollowerHasTheDigestOfTheHeartbeat) {
  Published published(40);  // so small that it evicts
  EventPeer subscriber = published.subscriber();
  Follower follower;
  wait_subscribed(published, subscriber, follower);
  for (int i = 0; i < 20; ++i) published.generate("r" + std::to_string(i), i % 3 ? "" : "tea");
  const wire::Heartbeat status = published.status();
  EXPECT_GT(status.kv_seq, 20u);
  while (follower.next < status.kv_seq) {
    const auto batch = subscriber.receive_batch();
    ASSERT_TRUE(batch);
    ASSERT_EQ(batch->seq, follower.next++);
    EXPECT_EQ(batch->payload.size(), 4u);
    EXPECT_EQ(batch->payload[2], 0);
    EXPECT_EQ(batch->payload[3], 42);  // epoch
    EXPECT_TRUE(batch->topic.starts_with("kv@127.0.0.1:")) << batch->topic;
    EXPECT_TRUE(batch->topic.ends_with("@null")) << batch->topic;
    follower.apply(*batch);
  }
  EXPECT_EQ(follower.digest, status.kv_digest);
  EXPECT_EQ(static_cast<int64_t>(follower.tokens.size()), status.n_blocks_cached);
  EXPECT_GT(published.node.block_events().counts().n_removed, 0u);
}

TEST(EventPublisher, AReplayBeginsWhereItIsAskedTo) {
  Published published;
  for (int i = 0; i < 4; ++i) published.generate("r" + std::to_string(i));
  const uint64_t n_batches = published.status().kv_seq;
  ASSERT_GE(n_batches, 4u);
  EventPeer peer = published.replayer();
  for (uint64_t first : {uint64_t{0}, uint64_t{2}, n_batches, n_batches + 7}) {
    const std::vector<Batch> batches = peer.ask(wire::encode_kv_sequence(first));
    ASSERT_EQ(batches.size(), n_batches - std::min(first, n_batches));
    for (size_t i = 0; i < batches.size(); ++i) EXPECT_EQ(batches[i].seq, first + i);
  }
}

TEST(EventPublisher, ASnapshotIsAllThatIsResidentAndNamesTheNextBatch) {
  Published published(40);
  EventPeer peer = published.replayer();
  std::vector<Batch> pages = peer.ask("snapshot");
  ASSERT_EQ(pages.size(), 1u);  // of an empty cache: forget what you had
  EXPECT_EQ(pages[0].seq, 0u);
  EXPECT_EQ(pages[0].payload[1].size(), 1u);
  for (int i = 0; i < 20; ++i) published.generate("r" + std::to_string(i), i % 2 ? "" : "tea");
  const wire::Heartbeat status = published.status();
  Follower follower;
  follower.digest = 12345;  // wrong, and forgotten
  for (const Batch& page : peer.ask("snapshot")) {
    EXPECT_EQ(page.seq, status.kv_seq);
    follower.apply(page);
  }
  EXPECT_EQ(follower.digest, status.kv_digest);
  EXPECT_EQ(static_cast<int64_t>(follower.tokens.size()), status.n_blocks_cached);
}

TEST(EventPublisher, ARequestThatIsNoneGetsNoAnswer) {
  Published published;
  EventPeer peer = published.replayer();
  for (const Frames& frames : {Frames{"12345678"}, Frames{"", "1234567"}, Frames{"x", "12345678"},
                               Frames{""}, Frames{"", std::string(100000, 'x')}}) {
    peer.send(frames);
    EXPECT_TRUE(peer.receive(std::chrono::milliseconds{50}).empty());
  }
  EXPECT_TRUE(peer.ask(wire::encode_kv_sequence(0)).empty());  // and it goes on
}

TEST(EventPublisher, TheWelcomeNamesBothEndpoints) {
  Published published;
  WirePeer peer(published.node.endpoint());
  peer.send(wire::Hello{});
  const auto welcome = peer.expect<wire::Welcome>();
  EXPECT_EQ(welcome.events, published.events().endpoint());
  EXPECT_EQ(welcome.events_replay, published.events().replay_endpoint());
  const NodeHarness quiet;
  WirePeer other(quiet.endpoint());
  other.send(wire::Hello{});
  EXPECT_EQ(other.expect<wire::Welcome>().events, "");
}

}  // namespace
}  // namespace lockstep
