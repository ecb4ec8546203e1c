// CoordinatorHarness: runs a whole coordinator on free loopback ports in this process, in front of
// fake nodes.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/host_port.h"
#include "coordinator/app/coordinator_app.h"
#include "tests/support/fake_node.h"
#include "tests/support/http_client.h"

namespace lockstep::testing {

// Settings with which the nodes get requests in turn, so that a test knows which one comes next.
inline CoordinatorConfig in_turn(CoordinatorConfig config = {}) {
  config.policy = "round-robin";
  return config;
}

class CoordinatorHarness {
 public:
  explicit CoordinatorHarness(const std::vector<FakeNode*>& nodes, CoordinatorConfig config = {}) {
    config.http = "127.0.0.1:0";
    config.zmq = "tcp://127.0.0.1:0";
    for (FakeNode* node : nodes) config.nodes.push_back(node->endpoint());
    if (config.nodes.empty()) config.nodes.push_back("tcp://127.0.0.1:1");  // an unused port
    Result<std::unique_ptr<CoordinatorApp>> app = CoordinatorApp::start(config);
    EXPECT_TRUE(app) << app.error().message;
    app_ = std::move(*app);
    if (!nodes.empty()) wait_ready(nodes.size());
  }

  CoordinatorApp& app() { return *app_; }
  uint16_t port() const { return parse_host_port(app_->http_address())->port; }
  uint16_t admin_port() const { return parse_host_port(app_->admin_address())->port; }

  // `headers`: further lines, each with its line end.
  HttpAnswer post(const std::string& path, const std::string& body,
                  const std::string& headers = "") const {
    return HttpClient(port()).post_and_read(path, body, headers);
  }
  HttpAnswer get(const std::string& path) const { return HttpClient(port()).get(path); }
  std::string admin_metrics() const { return HttpClient(admin_port()).get("/metrics").body; }

 private:
  void wait_ready(size_t n_nodes) {
    const std::string wanted =
        "lockstep_coordinator_nodes{state=\"ready\"} " + std::to_string(n_nodes);
    for (int i = 0; i < 2000; ++i) {
      if (admin_metrics().find(wanted) != std::string::npos) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "the nodes did not get ready";
  }

  std::unique_ptr<CoordinatorApp> app_;
};

}  // namespace lockstep::testing
