// NodeApp: a whole node built from its settings: model, ranks, engine, wire service and admin HTTP.
// lockstep-node runs one; `lockstep serve` runs one beside a coordinator. Its functions are called
// on the owner's thread, except where they say any thread.
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
  // Opens the admin port first, so that probes see the model loading; then loads, listens and
  // serves. Throws LoadError, also for a busy port. An empty config.admin opens no admin port.
  explicit NodeApp(const NodeConfig& config);
  ~NodeApp();  // stop()
  NodeApp(const NodeApp&) = delete;
  NodeApp& operator=(const NodeApp&) = delete;

  // Refuses new requests and finishes the running ones; then drained() is true.
  void drain();
  bool drained() const { return server_->drained(); }
  // Cancels the running requests, sends their final messages, and ends all threads.
  void stop();

  const std::string& endpoint() const { return server_->endpoint(); }
  const HostPort& admin_address() const { return admin_->address(); }  // only if there is one
  const std::string& model_name() const { return engine_->name(); }

  // For an admin server elsewhere in the process. Any thread, during the life of this object.
  std::string metrics_text() const { return probes_.text(); }
  void add_control_routes(AdminRoutes& routes);  // of the control verbs and of /v1/cache
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
  std::unique_ptr<DeviceMonitor> device_monitor_;
  std::optional<ServedModel> model_;
  std::unique_ptr<NodeServer> server_;
  std::unique_ptr<CachePage> cache_page_;
  std::unique_ptr<AdminHttp> admin_;  // last, because its handlers use all of the above
};

// The checks of --check: the same code that the constructor runs before it opens a port and reads
// the weights. Throws LoadError.
void check_node_config(const NodeConfig& config);

}  // namespace lockstep
