// lockstep-node: serves one model over ZeroMQ. Settings, then a NodeApp until a signal comes: the
// first one finishes what runs, a second one cancels it. Exit code 0; 2 for what cannot start.
#include <chrono>
#include <cstdio>
#include <exception>

#include "common/fault_points.h"
#include "common/load_error.h"
#include "common/service/config/config.h"
#include "common/service/logging.h"
#include "common/service/process.h"
#include "node/service/app/node_app.h"

namespace {

using namespace lockstep;  // NOLINT(google-build-using-namespace): this is the program

int run(const NodeConfig& config, bool check_only, TerminationSignals& signals) {
  if (config.model.empty()) throw LoadError("model: name the model file, as the first argument");
  if (check_only) {
    check_node_config(config);
    std::puts("ok");
    return 0;
  }
  NodeApp app(config);
  if (!config.admin.empty()) {
    std::printf("admin on http://%s\n", to_string(app.admin_address()).c_str());
  }
  std::printf("serving %s on %s\n", app.model_name().c_str(), app.endpoint().c_str());
  std::fflush(stdout);
  signals.wait();
  app.drain();
  while (!app.drained() && !signals.wait_for(std::chrono::milliseconds{20})) {
  }
  app.stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (const Status armed = take_fault_flags(argc, argv); !armed) {
    std::fprintf(stderr, "lockstep-node: %s\n", armed.error().message.c_str());
    return 2;
  }
  NodeConfig config;
  ConfigSource source("lockstep-node", "Serves one model to coordinators and ZeroMQ clients.");
  source.positional("model");
  source.add(config);
  if (const auto exit_code = source.load(argc, argv)) return *exit_code;
  give_back_large_blocks();
  start_logging(static_cast<int>(config.verbosity));
  TerminationSignals signals;  // before any thread starts
  try {
    return run(config, source.check_only(), signals);
  } catch (const std::exception& error) {  // LoadError, or no memory while loading
    std::fprintf(stderr, "lockstep-node: %s\n", error.what());
    return 2;
  }
}
