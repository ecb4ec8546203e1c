// lockstep-coordinator: serves HTTP and ZeroMQ clients in front of one or more nodes.
#include <cstdio>

#include "common/service/config/config.h"
#include "common/service/logging.h"
#include "common/service/process.h"
#include "coordinator/app/coordinator_app.h"

namespace lockstep {
namespace {

int fail(const std::string& message) {
  std::fprintf(stderr, "lockstep-coordinator: %s\n", message.c_str());
  return 2;
}

void print_addresses(const CoordinatorApp& app) {
  std::printf("http %s\n", app.http_address().c_str());
  if (!app.zmq_endpoint().empty()) std::printf("zmq %s\n", app.zmq_endpoint().c_str());
  std::printf("admin %s\n", app.admin_address().c_str());
  std::fflush(stdout);
}

int run(const CoordinatorConfig& config) {
  TerminationSignals signals;
  give_back_large_blocks();
  start_logging(static_cast<int>(config.verbosity));
  const auto app = CoordinatorApp::start(config);
  if (!app) return fail(app.error().message);
  print_addresses(**app);
  signals.wait();
  const auto second_signal = [&] { return signals.wait_for(std::chrono::milliseconds(0)); };
  (*app)->drain(std::chrono::milliseconds(config.drain_timeout_ms), second_signal);
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  lockstep::CoordinatorConfig config;
  lockstep::ConfigSource source("lockstep-coordinator", "Routes requests to Lockstep nodes.");
  source.add(config);
  if (const auto exit_code = source.load(argc, argv)) return *exit_code;
  if (source.check_only()) {
    if (const auto settings = lockstep::resolve_with_node(config); !settings)
      return lockstep::fail(settings.error().message);
    std::puts("ok");
    return 0;
  }
  return lockstep::run(config);
}
