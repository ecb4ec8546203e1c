#include "wire/zmq/zmq_loop.h"

#include <gtest/gtest.h>

#include <future>

namespace lockstep::wire {
namespace {

using namespace std::chrono_literals;

Socket make(Context& context, SocketKind kind) {
  Result<Socket> socket = Socket::make(context, kind);
  EXPECT_TRUE(socket);
  return std::move(*socket);
}

TEST(ZmqLoop, AnswersPeersOnItsOwnThread) {
  Context context;
  ZmqLoop loop;
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0"));
  const std::string endpoint = router.endpoint();
  ZmqLoop::SocketId id{};
  std::thread::id handler_thread;
  id = loop.add(std::move(router), [&](Incoming& in) {
    handler_thread = std::this_thread::get_id();
    EXPECT_TRUE(loop.socket(id).send(in.peer, in.body + "!"));
  });
  loop.start();
  Socket dealer = make(context, SocketKind::kDealer);
  ASSERT_TRUE(dealer.connect(endpoint));
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(*dealer.wait_writable(5000ms));
    ASSERT_EQ(*dealer.send("", std::to_string(i)), SendResult::kSent);
  }
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(*dealer.wait_readable(5000ms));
    EXPECT_EQ((*dealer.receive())->body, std::to_string(i) + "!");
  }
  loop.stop();
  EXPECT_NE(handler_thread, std::this_thread::get_id());
}

TEST(ZmqLoop, TasksFromManyThreadsAllRunOnOne) {
  ZmqLoop loop(100000);
  loop.start();
  int n_run = 0;  // no lock: only the loop's thread uses it
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) EXPECT_TRUE(loop.post([&] { ++n_run; }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::promise<int> total;
  ASSERT_TRUE(loop.post([&] { total.set_value(n_run); }));
  EXPECT_EQ(total.get_future().get(), 4000);
}

TEST(ZmqLoop, AFullTaskQueueSaysNo) {
  ZmqLoop loop(2);
  EXPECT_TRUE(loop.post([] {}));
  EXPECT_TRUE(loop.post([] {}));
  EXPECT_FALSE(loop.post([] {}));
  loop.start();
  loop.stop();
  EXPECT_FALSE(loop.post([] {}));
}

TEST(ZmqLoop, AWakeUpIsNeverLost) {
  ZmqLoop loop;
  std::atomic<int> wanted{0};
  std::atomic<int> seen{0};
  loop.on_wake([&] { seen = wanted.load(); });
  loop.start();
  for (int i = 1; i <= 200; ++i) {
    wanted = i;
    loop.wake();
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (seen < i && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    ASSERT_EQ(seen, i);
  }
}

TEST(ZmqLoop, TimersComeAgainAndAgain) {
  ZmqLoop loop;
  std::atomic<int> n_ticks{0};
  std::promise<void> enough;
  loop.every(5ms, [&] {
    if (++n_ticks == 5) enough.set_value();
  });
  const auto begin = std::chrono::steady_clock::now();
  loop.start();
  EXPECT_EQ(enough.get_future().wait_for(20s), std::future_status::ready);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 24ms);
}

// Slow messages are bounded by time: 64 of these messages would delay the timers by 320 ms.
TEST(ZmqLoop, SlowMessagesLetTheTimersThrough) {
  Context context;
  ZmqLoop loop;
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0"));
  const std::string endpoint = router.endpoint();
  int n_since_timer = 0, n_most = 0, n_left = 60;
  std::promise<void> all;
  loop.add(std::move(router), [&](Incoming&) {
    std::this_thread::sleep_for(5ms);
    n_most = std::max(n_most, ++n_since_timer);
    if (--n_left == 0) all.set_value();
  });
  loop.every(1ms, [&] { n_since_timer = 0; });
  Socket dealer = make(context, SocketKind::kDealer);
  ASSERT_TRUE(dealer.connect(endpoint));
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(*dealer.wait_writable(5000ms));
    ASSERT_EQ(*dealer.send("", "x"), SendResult::kSent);
  }
  loop.start();
  ASSERT_EQ(all.get_future().wait_for(20s), std::future_status::ready);
  loop.stop();
  EXPECT_LE(n_most, 3);  // 5 + 5 ms, and one message that began before the limit
}

TEST(ZmqLoop, SocketsMayBeAddedWhileItRuns) {
  Context context;
  ZmqLoop loop;
  loop.start();
  std::promise<std::string> bound;
  std::promise<std::string> heard;
  loop.post([&] {
    Socket router = make(context, SocketKind::kRouter);
    EXPECT_TRUE(router.bind("tcp://127.0.0.1:0"));
    const std::string endpoint = router.endpoint();
    loop.add(std::move(router), [&](Incoming& in) { heard.set_value(in.body); });
    bound.set_value(endpoint);
  });
  Socket dealer = make(context, SocketKind::kDealer);
  ASSERT_TRUE(dealer.connect(bound.get_future().get()));
  ASSERT_TRUE(*dealer.wait_writable(5000ms));
  ASSERT_EQ(*dealer.send("", "once"), SendResult::kSent);
  EXPECT_EQ(heard.get_future().get(), "once");
}

TEST(ZmqLoop, ASocketMayBeRemovedByItsHandlerAndItsPortIsFreeThen) {
  Context context;
  ZmqLoop loop;
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0"));
  const std::string endpoint = router.endpoint();
  ZmqLoop::SocketId id{};
  std::atomic<int> n_handled{0};
  id = loop.add(std::move(router), [&](Incoming&) {
    ++n_handled;
    loop.remove(id);
    EXPECT_EQ(loop.find_socket(id), nullptr);
    loop.remove(id);
  });
  Socket dealer = make(context, SocketKind::kDealer);
  ASSERT_TRUE(dealer.connect(endpoint));
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(*dealer.wait_writable(5000ms));
    ASSERT_EQ(*dealer.send("", "x"), SendResult::kSent);
  }
  loop.start();
  bool bound = false;
  for (int i = 0; i < 1000 && !bound; ++i) {
    std::this_thread::sleep_for(10ms);
    loop.wake();  // a turn, at whose start the socket is destroyed
    Socket next = make(context, SocketKind::kRouter);
    bound = n_handled > 0 && next.bind(endpoint).has_value();
  }
  EXPECT_TRUE(bound);
  loop.stop();
  EXPECT_EQ(n_handled, 1);
}

TEST(ZmqLoop, StopInTheMiddleOfThingsIsClean) {
  for (int round = 0; round < 50; ++round) {
    ZmqLoop loop;
    loop.every(1ms, [] {});
    loop.start();
    for (int i = 0; i < round; ++i) loop.post([] {});
  }
}

}  // namespace
}  // namespace lockstep::wire
