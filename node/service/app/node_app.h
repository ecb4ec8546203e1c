// NodeApp: a whole node built from its settings: model, ranks, engine, wire service, admin HTTP.
// What lockstep-node runs, and `lockstep serve` beside a coordinator.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/service/http/admin_http.h"
#include "node/service/admin/cache_page.h"
#include "node/service/app/node_engine.h"
#include "node/service/config/node_config.h"
#include "node/service/probes.h"
#include "node/service/requests/event_mailbox.h"
#include "node/service/server/node_server.h"

namespace lockstep {

class NodeApp {
 public:
  // Opens the admin port first (so that probes see the model loading), then loads, then listens
  // and serves. Throws LoadError; a busy port is one. No admin port if config.admin is empty.
  explicit NodeApp(const NodeConfig& config);
  ~NodeApp();  // stop()
  NodeApp(const NodeApp&) = delete;
  NodeApp& operator=(const NodeApp&) = delete;

  // Refuses new requests and finishes what runs; then drained() is true.
  void drain();
  bool drained() const { return server_->drained(); }
  // Cancels what still runs, tells its clients, and ends all threads.
  void stop();

  const std::string& endpoint() const { return server_->endpoint(); }
  const HostPort& admin_address() const { return admin_->address(); }  // if there is one
  const std::string& model_name() const { return engine_->name(); }

  // For an admin server elsewhere in the process; any thread, while this lives.
  std::string metrics_text() const { return probes_.text(); }
  void add_control_routes(AdminRoutes& routes);  // and /v1/cache
  Health health() const;

 private:
  enum class Stage { kLoading, kServing, kDraining };

  void start_admin(const NodeConfig& config);
  void serve(const NodeConfig& config);

  bool stopped_ = false;  // owner's thread
  std::atomic<Stage> stage_{Stage::kLoading};
  SteadyClock clock_;
  NodeProbes probes_;
  EventMailbox mailbox_{clock_};
  std::unique_ptr<NodeEngine> engine_;
  std::optional<ModelFront> front_;
  std::unique_ptr<NodeServer> server_;
  std::unique_ptr<CachePage> cache_page_;
  std::unique_ptr<AdminHttp> admin_;  // last: its handlers use all of the above
};

// --check: what the constructor checks before it opens a port and reads the weights, by the same
// code. Throws LoadError.
void check_node_config(const NodeConfig& config);

}  // namespace lockstep
