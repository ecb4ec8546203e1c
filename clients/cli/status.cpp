// lockstep status: prints the status that a running coordinator, or one node, reports.
#include <chrono>
#include <cstdio>
#include <thread>

#include "clients/cli/commands.h"
#include "clients/cpp/client.h"
#include "common/load_error.h"
#include "common/log.h"
#include "common/service/config/config.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTimeout{2000};
constexpr int64_t kMaxWaitSeconds = 365 * 24 * 3600;

struct StatusConfig {
  std::string connect = "tcp://127.0.0.1:5555";
  int64_t wait_ready = 0;
  template <class V>
  void visit_fields(V& v) {
    v(connect, "connect", "ENDPOINT", "ZeroMQ endpoint of a coordinator or node.");
    v(wait_ready, "wait_ready", "seconds",
      "Maximum time in seconds to wait for a node that accepts requests.");
  }
};

bool any_ready(const wire::ClusterStatus& status) {
  for (const wire::NodeStatus& node : status.nodes) {
    if (node.state == "ready") return true;
  }
  return false;
}

void print(const wire::ClusterStatus& status) {
  std::printf("%ld requests running\n", static_cast<long>(status.n_requests_running));
  for (const wire::NodeStatus& node : status.nodes) {
    const wire::Heartbeat& load = node.load;
    std::printf(
        "%s %s model=%s running=%ld waiting=%ld kv_blocks_active=%ld kv_blocks_total=%ld "
        "output_tokens=%lu\n",
        node.endpoint.c_str(), node.state.c_str(), node.model.c_str(),
        static_cast<long>(load.n_running), static_cast<long>(load.n_waiting),
        static_cast<long>(load.n_blocks_active), static_cast<long>(load.n_blocks_total),
        static_cast<unsigned long>(load.n_output_tokens));
  }
}

}  // namespace

int run_status(int argc, const char* const* argv) {
  StatusConfig config;
  ConfigSource source("lockstep status", "Shows what a running cluster does.");
  source.add(config);
  if (const auto exit_code = source.load(argc, argv)) return *exit_code;
  if (config.wait_ready < 0 || config.wait_ready > kMaxWaitSeconds) {
    throw LoadError(str("wait_ready: ", config.wait_ready, " is outside 0 to ", kMaxWaitSeconds));
  }
  auto client = ZmqClient::connect(config.connect);
  if (!client) {
    std::fprintf(stderr, "lockstep status: %s\n", client.error().message.c_str());
    return 2;
  }
  const auto deadline = steady_clock::now() + std::chrono::seconds(config.wait_ready);
  while (true) {
    const auto status = (*client)->status(kTimeout);
    const bool last_try = steady_clock::now() >= deadline;
    if (status && (last_try || any_ready(*status))) {
      print(*status);
      return config.wait_ready == 0 || any_ready(*status) ? 0 : 1;
    }
    if (last_try) {
      std::fprintf(stderr, "lockstep status: %s\n", status.error().message.c_str());
      return 1;
    }
    std::this_thread::sleep_for(milliseconds(50));
  }
}

}  // namespace lockstep
