#include "wire/zmq/socket.h"

#include <gtest/gtest.h>

#include "common/host_port.h"
#include "tests/support/temporary_path.h"

namespace lockstep::wire {
namespace {

using namespace std::chrono_literals;

Socket make(Context& context, SocketKind kind, const SocketOptions& options = {}) {
  Result<Socket> socket = Socket::make(context, kind, options);
  EXPECT_TRUE(socket);
  return std::move(*socket);
}

Incoming wait_message(Socket& socket) {
  for (int i = 0; i < 1000; ++i) {
    Result<std::optional<Incoming>> incoming = socket.receive();
    EXPECT_TRUE(incoming);
    if (incoming && *incoming) return std::move(**incoming);
    EXPECT_TRUE(socket.wait_readable(20ms));
  }
  ADD_FAILURE() << "nothing came";
  return {};
}

TEST(Socket, MessagesGoBothWaysAndAFreePortIsTold) {
  Context context;
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0"));
  EXPECT_TRUE(router.endpoint().starts_with("tcp://127.0.0.1:")) << router.endpoint();
  EXPECT_FALSE(router.endpoint().ends_with(":0"));
  Socket dealer = make(context, SocketKind::kDealer);
  ASSERT_TRUE(dealer.connect(router.endpoint()));
  ASSERT_TRUE(*dealer.wait_writable(5000ms));
  const std::string binary("a\0b\xFF", 4);
  EXPECT_EQ(*dealer.send("", binary), SendResult::kSent);
  const Incoming question = wait_message(router);
  EXPECT_EQ(question.body, binary);
  EXPECT_TRUE(question.single_frame);
  EXPECT_FALSE(question.peer.empty());
  EXPECT_EQ(*router.send(question.peer, "answer"), SendResult::kSent);
  EXPECT_EQ(wait_message(dealer).body, "answer");
}

TEST(Socket, AMessageOfSeveralFramesKeepsTheFirstFive) {
  Context context;
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0"));
  Socket dealer = make(context, SocketKind::kDealer);
  ASSERT_TRUE(dealer.connect(router.endpoint()));
  ASSERT_TRUE(*dealer.wait_writable(5000ms));
  const std::string_view frames[] = {"", "two", "three", "four", "five", "six"};
  EXPECT_EQ(*dealer.send("", frames), SendResult::kSent);
  const Incoming question = wait_message(router);
  EXPECT_EQ(question.body, "");
  EXPECT_EQ(question.second(), "two");
  EXPECT_EQ(question.others, (std::vector<std::string>{"two", "three", "four", "five"}));
  EXPECT_FALSE(question.single_frame);
  EXPECT_EQ(*router.send(question.peer, frames), SendResult::kSent);
  EXPECT_EQ(wait_message(dealer).second(), "two");
}

TEST(Socket, ASubscriberReceivesEveryTopicWithItsFrames) {
  Context context;
  Socket publisher = make(context, SocketKind::kPublisher);
  ASSERT_TRUE(publisher.bind("tcp://127.0.0.1:0"));
  Socket subscriber = make(context, SocketKind::kSubscriber);
  ASSERT_TRUE(subscriber.connect(publisher.endpoint()));
  const std::string_view frames[] = {"topic", "7", "batch"};
  for (int i = 0; i < 500 && !*subscriber.wait_readable(10ms); ++i)
    ASSERT_TRUE(publisher.send("", frames));  // lost until the subscription has arrived
  const Incoming incoming = wait_message(subscriber);
  EXPECT_EQ(incoming.body, "topic");
  EXPECT_EQ(incoming.others, (std::vector<std::string>{"7", "batch"}));
  EXPECT_TRUE(incoming.peer.empty());
}

TEST(Socket, ADealerMayTakeMessagesBeforeItsPeerIsThere) {
  Context context;
  Socket dealer = make(context, SocketKind::kDealer, {.queue_unconnected = true});
  const lockstep::testing::TemporaryPath path;
  const std::string endpoint = "ipc://" + path.str();
  ASSERT_TRUE(dealer.connect(endpoint));
  ASSERT_EQ(*dealer.send("", "early"), SendResult::kSent);
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind(endpoint));
  EXPECT_EQ(wait_message(router).body, "early");
}

TEST(Socket, APublisherWithoutSubscribersTakesEverything) {
  Context context;
  SocketOptions options;
  options.high_water_mark = 2;
  Socket publisher = make(context, SocketKind::kPublisher, options);
  ASSERT_TRUE(publisher.bind("tcp://127.0.0.1:0"));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(*publisher.send("", "event"), SendResult::kSent);
}

TEST(Socket, ReceivingNeverBlocks) {
  Context context;
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:*"));
  const Result<std::optional<Incoming>> nothing = router.receive();
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(*nothing);
  EXPECT_FALSE(*router.wait_readable(1ms));
}

TEST(Socket, ABusyPortIsAnErrorThatNamesIt) {
  Context context;
  Socket first = make(context, SocketKind::kRouter);
  ASSERT_TRUE(first.bind("tcp://127.0.0.1:0"));
  Socket second = make(context, SocketKind::kRouter);
  const Status busy = second.bind(first.endpoint());
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().message,
            "cannot listen on " + first.endpoint() + ": Address already in use");
}

TEST(Socket, NonsenseEndpointsAreErrors) {
  Context context;
  Socket socket = make(context, SocketKind::kRouter);
  for (const char* endpoint : {"", "nonsense", "127.0.0.1:5555", "tcp://", "tcp://x", "udp://y"}) {
    EXPECT_FALSE(socket.bind(endpoint)) << endpoint;
    EXPECT_FALSE(make(context, SocketKind::kDealer).connect(endpoint)) << endpoint;
  }
}

TEST(Socket, APeerThatIsNotThereIsUnreachable) {
  Context context;
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0"));
  EXPECT_EQ(*router.send("absent", "x"), SendResult::kUnreachable);
}

TEST(Socket, ADealerWithoutAConnectionIsFull) {
  Context context;
  Socket dealer = make(context, SocketKind::kDealer);
  ASSERT_TRUE(dealer.connect("tcp://127.0.0.1:1"));
  EXPECT_EQ(*dealer.send("", "x"), SendResult::kFull);
  EXPECT_FALSE(*dealer.wait_writable(1ms));
}

TEST(Socket, AFullPeerDoesNotBlockTheRouter) {
  Context context;
  Socket router = make(context, SocketKind::kRouter, {.high_water_mark = 2});
  ASSERT_TRUE(router.bind("inproc://full"));
  Socket dealer = make(context, SocketKind::kDealer, {.high_water_mark = 2});
  ASSERT_TRUE(dealer.connect("inproc://full"));
  ASSERT_EQ(*dealer.send("", "hello"), SendResult::kSent);
  const std::string peer = wait_message(router).peer;
  SendResult last = SendResult::kSent;
  for (int i = 0; i < 100 && last == SendResult::kSent; ++i) last = *router.send(peer, "x");
  EXPECT_EQ(last, SendResult::kFull);
  wait_message(dealer);
}

// The number of unread messages of a peer is bounded by the limit of bind(), not by the peer.
TEST(Socket, ASocketThatIsNotReadHoldsItsPeersUp) {
  Context context;
  const SocketOptions patient{.high_water_mark = 1000, .heartbeat_interval = 0ms};
  Socket router = make(context, SocketKind::kRouter, patient);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0"));
  Socket dealer =
      make(context, SocketKind::kDealer, {.high_water_mark = 1, .heartbeat_interval = 0ms});
  ASSERT_TRUE(dealer.connect(router.endpoint()));
  const std::string body(size_t{64} << 10, 'x');
  constexpr int kManyMessages = 900;  // more than the queue and TCP's buffers hold
  int n_sent = 0;
  while (n_sent < kManyMessages && *dealer.wait_writable(1000ms)) {
    if (*dealer.send("", body) == SendResult::kSent) ++n_sent;
  }
  EXPECT_GE(n_sent, kMaxBoundQueue);
  EXPECT_LT(n_sent, kManyMessages);
  wait_message(router);
}

TEST(Socket, AFrameThatIsFarTooLongIsNotTakenIn) {
  Context context;
  Socket router = make(context, SocketKind::kRouter);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0"));
  Socket dealer = make(context, SocketKind::kDealer);
  ASSERT_TRUE(dealer.connect(router.endpoint()));
  const std::string just_right(kMaxMessageBytes + 1, 'x');  // for decode() to refuse
  ASSERT_TRUE(*dealer.wait_writable(5000ms));
  ASSERT_EQ(*dealer.send("", just_right), SendResult::kSent);
  EXPECT_EQ(wait_message(router).body.size(), just_right.size());
  ASSERT_EQ(*dealer.send("", std::string(kMaxMessageBytes + (2u << 20), 'x')), SendResult::kSent);
  // ZeroMQ closes the connection and reconnects by itself.
  std::string body;
  for (int i = 0; i < 200 && body.empty(); ++i) {
    (void)dealer.send("", "after");
    if (*router.wait_readable(100ms)) body = wait_message(router).body;
  }
  EXPECT_EQ(body.substr(0, 5), "after");
}

TEST(Socket, LocalEndpointsAreDistinctFromOpenOnes) {
  for (const char* local : {"tcp://127.0.0.1:5555", "tcp://localhost:0", "tcp://[::1]:5555",
                            "tcp://127.1.2.3:*", "ipc:///tmp/x", "inproc://x"}) {
    EXPECT_TRUE(is_local_endpoint(local)) << local;
  }
  for (const char* open : {"tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://[::]:5555", "tcp://eth0:1",
                           "tcp://127.evil.example:1", "udp://127.0.0.1:1", "127.0.0.1:5555", ""}) {
    EXPECT_FALSE(is_local_endpoint(open)) << open;
  }
}

TEST(HostPort, AddressesAreParsedOrRefused) {
  const Result<HostPort> v4 = parse_host_port("127.0.0.1:8000");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 8000);
  const Result<HostPort> v6 = parse_host_port("[::1]:*");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 0);
  EXPECT_EQ(to_string(*v6), "[::1]:0");
  EXPECT_EQ(to_string(*v4), "127.0.0.1:8000");
  for (const char* bad : {"", ":", "host", ":80", "host:", "host:x", "host:65536", "host:-1",
                          "::1:80", "host:80 ", "[]:80"}) {
    EXPECT_FALSE(parse_host_port(bad)) << bad;
  }
}

}  // namespace
}  // namespace lockstep::wire
