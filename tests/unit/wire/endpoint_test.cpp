#include "wire/zmq/endpoint.h"

#include <gtest/gtest.h>

#include <vector>

namespace lockstep::wire {
namespace {

TEST(Endpoint, IsTcpWithHostAndPortOrIpcWithAPath) {
  for (const char* endpoint : {"tcp://127.0.0.1:5556", "tcp://[::1]:0", "tcp://*:*",
                               "tcp://node-0.nodes:5556", "ipc:///run/node", "ipc://node"}) {
    EXPECT_TRUE(canonical_endpoint(endpoint)) << endpoint;
  }
  for (const char* text : {"", "5556", "127.0.0.1:5556", "tcp://127.0.0.1", "tcp://:5556",
                           "tcp://127.0.0.1:65536", "tcp://127.0.0.1:-1", "ipc://", "http://a:1"}) {
    EXPECT_FALSE(canonical_endpoint(text)) << text;
  }
}

TEST(Endpoint, HasOneSpelling) {
  EXPECT_EQ(canonical_endpoint("tcp://Node-0:05556"), canonical_endpoint("tcp://node-0:5556"));
  EXPECT_EQ(canonical_endpoint("tcp://[::1]:*"), canonical_endpoint("tcp://[::1]:0"));
  EXPECT_NE(canonical_endpoint("tcp://node-0:5556"), canonical_endpoint("tcp://node-0:5557"));
  EXPECT_NE(canonical_endpoint("ipc://A"), canonical_endpoint("ipc://a"));
}

TEST(Endpoint, OfANodesOtherSocketHasTheNodesHostAndThatSocketsPort) {
  const auto reach = [](const char* node, const char* bound) {
    return reachable_endpoint(node, bound).value_or("none");
  };
  EXPECT_EQ(reach("tcp://node-0:5556", "tcp://0.0.0.0:5557"), "tcp://node-0:5557");
  EXPECT_EQ(reach("tcp://node-0:5556", "tcp://[::]:5557"), "tcp://node-0:5557");
  EXPECT_EQ(reach("tcp://node-0:5556", "tcp://10.0.0.3:5557"), "tcp://node-0:5557");
  EXPECT_EQ(reach("tcp://[fd00::1]:5556", "tcp://*:5557"), "tcp://[fd00::1]:5557");
  EXPECT_EQ(reach("ipc:///run/node", "tcp://0.0.0.0:5557"), "tcp://127.0.0.1:5557");
  EXPECT_EQ(reach("ipc:///run/node", "ipc:///run/events"), "ipc:///run/events");
  EXPECT_EQ(reach("tcp://127.0.0.1:5556", "ipc:///run/events"), "ipc:///run/events");
  EXPECT_EQ(reach("tcp://node-0:5556", "ipc:///run/events"), "none");  // of another machine
  for (const char* bound : {"", "5557", "tcp://*:0", "tcp://*:*", "tcp://5557", "inproc://x"})
    EXPECT_EQ(reach("tcp://node-0:5556", bound), "none") << bound;
  EXPECT_EQ(reach("node-0:5556", "tcp://*:5557"), "none");
}

TEST(Endpoint, TwoListenersOnOneAddressAreNamed) {
  const std::vector<Listener> same = {
      {"listen", "tcp://127.0.0.1:1"}, {"events", "ipc://e"}, {"admin", "tcp://127.0.0.1:01"}};
  const auto found = same_listeners(same);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->first.field, "listen");
  EXPECT_EQ(found->second.field, "admin");
}

TEST(Endpoint, ListenersWithoutAFixedAddressShareNone) {
  const std::vector<Listener> free = {{"listen", "tcp://127.0.0.1:0"},
                                      {"admin", "tcp://127.0.0.1:0"},
                                      {"events", ""},
                                      {"events_replay", ""}};
  EXPECT_FALSE(same_listeners(free));
}

}  // namespace
}  // namespace lockstep::wire
