// ZmqFrontend: its I/O thread stalls, hangs and ends, by a clock that the test advances.
#include "coordinator/app/zmq_frontend.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <future>
#include <thread>

#include "tests/support/fake_clock.h"
#include "tests/support/fake_node.h"
#include "tests/support/wire_peer.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::FakeNode;

// Blocks the I/O thread from the first reply until let_go() is called.
class StallingReplies final : public ReplySink {
 public:
  void deliver(wire::Message) override {
    begun_.set_value();
    let_go_.get_future().wait();
  }
  void wait_stalled() { begun_.get_future().wait(); }
  void let_go() { let_go_.set_value(); }

 private:
  std::promise<void> begun_, let_go_;
};

class LastReplies final : public ReplySink {
 public:
  void deliver(wire::Message message) override {
    if (!std::holds_alternative<wire::Accepted>(message) &&
        !std::holds_alternative<wire::Tokens>(message))
      final_message_.set_value(std::move(message));
  }
  // Waits for it.
  wire::Message final_message() { return final_message_.get_future().get(); }

 private:
  std::promise<wire::Message> final_message_;
};

template <class Condition>
bool wait_until(Condition condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(10ms);
  return condition();
}

class ZmqFrontendTest : public ::testing::Test {
 protected:
  void make(const FakeNode& node) {
    ZmqFrontendConfig config;
    config.node_endpoints = {node.endpoint()};
    config.zmq_endpoint = "tcp://127.0.0.1:0";
    Result<std::unique_ptr<ZmqFrontend>> frontend =
        ZmqFrontend::make(std::move(config), probes_, clock_);
    ASSERT_TRUE(frontend.has_value());
    frontend_ = std::move(*frontend);
  }
  void start_and_wait_ready() {
    frontend_->start();
    // The FakeClock does not move by itself, so a lost hello would never be repeated.
    const bool ready = wait_until([&] {
      clock_.advance(1ms);
      return frontend_->view()->ready();
    });
    ASSERT_TRUE(ready);
  }
  static wire::Generate generate() {
    wire::Generate out;
    out.request_id = "r";
    out.model = "tiny";
    out.prompt_text = "Hi";
    return out;
  }

  testing::FakeClock clock_;
  CoordinatorProbes probes_{std::make_shared<prometheus::Registry>()};
  std::unique_ptr<ZmqFrontend> frontend_;
};

TEST_F(ZmqFrontendTest, AStallOfItsThreadEndsNoStream) {
  FakeNode node(FakeNode::hang_after(1));
  make(node);
  start_and_wait_ready();
  const auto replies = std::make_shared<LastReplies>();
  ASSERT_TRUE(frontend_->submit({"streaming", replies}, generate()));
  const wire::Generate request = node.wait_request(0);
  const auto stall = std::make_shared<StallingReplies>();
  ASSERT_TRUE(frontend_->submit({"stalling", stall}, wire::ModelsRequest{"q"}));
  stall->wait_stalled();
  clock_.advance(10s);
  node.say(wire::Done{request.request_id, "stop", {1, 0, 1}});  // waits unread
  std::this_thread::sleep_for(100ms);  // so that the tick, which goes by real time, comes first
  stall->let_go();
  EXPECT_TRUE(std::holds_alternative<wire::Done>(replies->final_message()));
}

TEST_F(ZmqFrontendTest, AHungThreadIsNotAlive) {
  FakeNode node;
  make(node);
  EXPECT_FALSE(frontend_->started());
  EXPECT_TRUE(frontend_->alive());
  start_and_wait_ready();
  EXPECT_TRUE(frontend_->started());
  const auto stall = std::make_shared<StallingReplies>();
  ASSERT_TRUE(frontend_->submit({"stalling", stall}, wire::ModelsRequest{"q"}));
  stall->wait_stalled();
  EXPECT_TRUE(frontend_->alive());
  clock_.advance(5s);
  EXPECT_FALSE(frontend_->alive());
  stall->let_go();
  EXPECT_TRUE(wait_until([&] { return frontend_->alive(); }));
}

// The reply queues of HTTP requests hold timers of an io_context that is destroyed after stop().
TEST_F(ZmqFrontendTest, AfterTheStopItHoldsNoReplySink) {
  FakeNode node(FakeNode::hang_after(1));
  make(node);
  auto unread = std::make_shared<LastReplies>();
  ASSERT_TRUE(frontend_->submit({"unread", unread}, generate()));  // before the thread runs
  frontend_->stop();
  EXPECT_EQ(unread.use_count(), 1);

  make(node);
  start_and_wait_ready();
  auto running = std::make_shared<LastReplies>();
  ASSERT_TRUE(frontend_->submit({"running", running}, generate()));
  node.wait_request(0);
  frontend_->stop();
  EXPECT_EQ(running.use_count(), 1);
  frontend_->drop_client("running");  // as its coroutine does when it is destroyed
}

TEST_F(ZmqFrontendTest, HeartbeatsAndTicksThatChangeNothingPublishNothing) {
  FakeNode node;
  make(node);
  start_and_wait_ready();
  const size_t first = node.n_beats();
  ASSERT_TRUE(wait_until([&] { return node.n_beats() >= first + 3; }));
  const std::shared_ptr<const ClusterView> before = frontend_->view();
  const size_t n = node.n_beats();
  ASSERT_TRUE(wait_until([&] { return node.n_beats() >= n + 5; }));
  EXPECT_EQ(frontend_->view(), before) << "the same object after 5 heartbeats and 20 ticks";
  frontend_->begin_drain();
  EXPECT_TRUE(wait_until([&] { return frontend_->view()->draining; }));
  EXPECT_EQ(frontend_->view()->nodes, before->nodes) << "nodes that did not change are shared";
}

// stop() is called while the I/O thread hangs: the clients' socket is closed before the running
// requests are ended.
TEST_F(ZmqFrontendTest, AStopThatOvertakesTheFinalMessagesOfZmqClientsIsClean) {
  FakeNode node(FakeNode::hang_after(1));
  make(node);
  start_and_wait_ready();
  testing::WirePeer client(frontend_->zmq_endpoint());
  client.send(generate());
  client.expect<wire::Tokens>();
  ASSERT_TRUE(wait_until([&] { return frontend_->view()->n_inflight == 1; }));
  const auto stall = std::make_shared<StallingReplies>();
  ASSERT_TRUE(frontend_->submit({"stalling", stall}, wire::ModelsRequest{"q"}));
  stall->wait_stalled();
  std::thread stop([&] { frontend_->stop(); });
  std::this_thread::sleep_for(1s);  // stop() waits for 200 ms, then closes the loop
  stall->let_go();
  stop.join();
  EXPECT_EQ(frontend_->view()->n_inflight, 1) << "the request was there until the end";
}

}  // namespace
}  // namespace lockstep
