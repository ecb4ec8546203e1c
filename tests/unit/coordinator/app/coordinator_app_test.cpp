// CoordinatorApp: settings that --check and the start refuse, and a port that is in use.
#include "coordinator/app/coordinator_app.h"

#include <gtest/gtest.h>

#include "tests/support/coordinator_harness.h"

namespace lockstep {
namespace {

using testing::CoordinatorHarness;
using testing::FakeNode;

TEST(CoordinatorApp, AddressesOfOtherMachinesNeedInsecure) {
  const std::pair<std::string CoordinatorConfig::*, std::string> fields[] = {
      {&CoordinatorConfig::http, "0.0.0.0:0"},
      {&CoordinatorConfig::admin, "192.168.0.1:0"},
      {&CoordinatorConfig::zmq, "tcp://*:0"}};
  for (const auto& [field, address] : fields) {
    CoordinatorConfig config;
    config.*field = address;
    const auto refused = resolve(config);
    ASSERT_FALSE(refused.has_value()) << address;
    EXPECT_NE(refused.error().message.find("--insecure"), std::string::npos);
    config.insecure = true;
    EXPECT_TRUE(resolve(config).has_value());
  }
}

TEST(CoordinatorApp, SettingsThatMakeNoSenseNameTheField) {
  CoordinatorConfig config;
  config.http = "8000";
  EXPECT_EQ(resolve(config).error().param, "http");
  config = {};
  config.policy = "best";
  EXPECT_EQ(resolve(config).error().param, "policy");
  config = {};
  config.http_threads = 0;
  EXPECT_EQ(resolve(config).error().param, "http_threads");
  config = {};
  config.node_dead_ms = config.node_suspect_ms;
  EXPECT_EQ(resolve(config).error().param, "node_dead_ms");
}

// --check refuses everything that start() refuses.
TEST(CoordinatorApp, SettingsThatCannotStartAreRefusedByTheCheck) {
  EXPECT_EQ(resolve_with_node({}).error().param, "node");
  EXPECT_EQ(CoordinatorApp::start({}).error().param, "node");
  const auto with_node = [](const std::string& node) {
    CoordinatorConfig config;
    config.nodes = {"tcp://127.0.0.1:5556", node};
    return resolve_with_node(config);
  };
  for (const char* good : {"tcp://node-1:5556", "tcp://[::1]:5556", "ipc:///run/node"})
    EXPECT_TRUE(with_node(good).has_value()) << good;
  for (const char* wrong : {"", "127.0.0.1:5556", "tcp://127.0.0.1", "tcp://127.0.0.1:0",
                            "tcp://*:5556", "http://127.0.0.1:5556", "ipc://"}) {
    const auto refused = with_node(wrong);
    ASSERT_FALSE(refused.has_value()) << wrong;
    EXPECT_EQ(refused.error().param, "node");
    EXPECT_NE(refused.error().message.find("'" + std::string(wrong) + "'"), std::string::npos);
  }
  for (const char* wrong : {"5555", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "udp://x:1"}) {
    CoordinatorConfig config;
    config.zmq = wrong;
    config.insecure = true;
    ASSERT_FALSE(resolve(config).has_value()) << wrong;
    EXPECT_EQ(resolve(config).error().param, "zmq");
  }
  CoordinatorConfig config;
  config.http = "my-host:8000";
  config.insecure = true;
  ASSERT_FALSE(resolve(config).has_value());
  EXPECT_EQ(resolve(config).error().param, "http");
}

TEST(CoordinatorApp, ABusyPortIsOneClearLine) {
  FakeNode node;
  CoordinatorHarness first({&node});
  CoordinatorConfig config;
  config.nodes = {node.endpoint()};
  config.http = first.app().http_address();
  config.zmq = "";
  const auto second = CoordinatorApp::start(config);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().message,
            "cannot listen on " + first.app().http_address() + ": Address already in use");
}

}  // namespace
}  // namespace lockstep
