// A coordinator's settings: the values that are refused before any socket listens.
#include "coordinator/app/coordinator_config.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/numeric_settings.h"
#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

const testing::AcceptedExtremes kAccepted = {
    {"seed", "++++"},
    {"http_threads", "----"},
    {"max_connections", "----"},
    {"max_inflight", "----"},
    {"max_body_bytes", "----"},
    {"max_inflight_bytes", "----"},
    {"header_timeout_ms", "----"},
    {"body_timeout_ms", "----"},
    {"idle_timeout_ms", "----"},
    {"write_timeout_ms", "----"},
    {"keep_alive_ms", "----"},
    {"request_timeout_ms", "----"},
    {"queue_timeout_ms", "--+-"},
    {"resume_timeout_ms", "--+-"},
    {"drain_timeout_ms", "----"},
    {"node_suspect_ms", "----"},
    {"node_dead_ms", "----"},
    {"verbosity", "--+-"},
};

CoordinatorConfig with_nodes(std::vector<std::string> nodes) {
  CoordinatorConfig config;
  config.nodes = std::move(nodes);
  return config;
}

std::string refusal(const CoordinatorConfig& config) {
  const auto settings = resolve_with_node(config);
  return settings ? "" : settings.error().message;
}

TEST(CoordinatorConfig, EveryNumberIsTakenOrRefusedByName) {
  testing::expect_lists_every_number(kAccepted, CoordinatorConfig{});
  for (const auto& [name, accepted] : kAccepted)
    testing::expect_extremes(kAccepted, name, with_nodes({"ipc://node"}), refusal, " must be ");
}

TEST(CoordinatorConfig, ANodeIsNamedOnce) {
  EXPECT_EQ(refusal(with_nodes({"tcp://127.0.0.1:5556", "tcp://127.0.0.1:5557", "ipc://a"})), "");
  EXPECT_EQ(refusal(with_nodes({"tcp://127.0.0.1:5556", "ipc://a", "tcp://127.0.0.1:5556"})),
            "node 'tcp://127.0.0.1:5556' is named twice");
  EXPECT_EQ(refusal(with_nodes({"ipc://a", "ipc://a"})), "node 'ipc://a' is named twice");
  EXPECT_EQ(refusal(with_nodes({"tcp://node-0:5556", "tcp://Node-0:05556"})),
            "node 'tcp://Node-0:05556' is named twice");
  EXPECT_EQ(refusal(with_nodes({CoordinatorConfig{}.zmq})),
            "node 'tcp://127.0.0.1:5555' is zmq, this coordinator's own endpoint");
}

TEST(CoordinatorConfig, AResumeKeyFileIsReadBeforeAnythingListens) {
  CoordinatorConfig config = with_nodes({"ipc://a"});
  config.resume_key_file = "/nowhere/key";
  EXPECT_EQ(refusal(config),
            "resume_key_file '/nowhere/key' cannot be read: No such file or directory");
  const testing::TemporaryPath path;
  path.write(std::string(32, 'k') + "\n");
  config.resume_key_file = path.str();
  const auto settings = resolve_with_node(config);
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->frontend.resume_key.mac("m"),
            ResumeKey::from_secret(std::string(32, 'k')).mac("m"));
  path.write("short");
  EXPECT_EQ(refusal(config),
            "resume_key_file '" + path.str() + "' must hold 32 to 4096 bytes, holds 5");
}

TEST(CoordinatorConfig, NothingListensWhereAnotherDoes) {
  CoordinatorConfig config = with_nodes({"ipc://node"});
  config.admin = config.http;
  EXPECT_EQ(refusal(config), "admin listens where http does: '127.0.0.1:8000'");
  config.admin = "127.0.0.1:5555";
  EXPECT_EQ(refusal(config), "admin listens where zmq does: '127.0.0.1:5555'");
  config.http = config.admin = "127.0.0.1:0";  // two free ports
  EXPECT_EQ(refusal(config), "");
}

}  // namespace
}  // namespace lockstep
