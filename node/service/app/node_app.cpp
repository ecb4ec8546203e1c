#include "node/service/app/node_app.h"

#include <chrono>
#include <thread>
#include <utility>

#include "common/load_error.h"
#include "common/log.h"
#include "node/service/admin/control_pages.h"
#include "node/service/config/effective_settings.h"
#include "node/text/prompt/text_data.h"
#include "wire/zmq/endpoint.h"
#include "wire/zmq/socket.h"

namespace lockstep {
namespace {

void refuse_open_address(const char* field, const std::string& address) {
  throw LoadError(str(field, ": ", address,
                      " can be reached from other machines, and there are no keys yet; "
                      "use a loopback address, or --insecure"));
}

void check_addresses(const NodeConfig& config) {
  const auto check_endpoint = [&](const char* field, const std::string& endpoint) {
    if (!wire::canonical_endpoint(endpoint)) {
      throw LoadError(str(field, ": must be tcp://HOST:PORT or ipc://PATH, got '", endpoint, "'"));
    }
    if (!config.insecure && !wire::is_local_endpoint(endpoint))
      refuse_open_address(field, endpoint);
  };
  check_endpoint("listen", config.listen);
  if (!config.events.empty()) check_endpoint("events", config.events);
  if (!config.events_replay.empty()) check_endpoint("events_replay", config.events_replay);
  if (config.events.empty() && !config.events_replay.empty()) {
    throw LoadError(str("events_replay: ", config.events_replay, " needs events, which is empty"));
  }
  const wire::Listener listeners[] = {
      {"listen", config.listen},
      {"events", config.events},
      {"events_replay", config.events_replay},
      {"admin", config.admin.empty() ? "" : "tcp://" + config.admin}};
  if (const auto same = wire::same_listeners(listeners)) {
    throw LoadError(str(same->second.field, ": listens where ", same->first.field, " does: '",
                        same->first.endpoint, "'"));
  }
  if (config.admin.empty()) return;
  const HostPort admin = value_or_throw(parse_host_port(config.admin));
  if (!config.insecure && !is_loopback_host(admin.host)) {
    refuse_open_address("admin", config.admin);
  }
}

// Returns microseconds since 1970, which grow with every restart.
uint64_t new_epoch() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

constexpr uint64_t kMicrosecondsPerSecond = 1'000'000;
constexpr std::chrono::milliseconds kFinalMessages{
    2000};  // time to hand them to ZeroMQ when stopping

}  // namespace

NodeApp::NodeApp(const NodeConfig& config) {
  check_addresses(config);
  if (!config.admin.empty()) start_admin(config);
  engine_ = std::make_unique<NodeEngine>(config, mailbox_);
  serve(config);
}

NodeApp::~NodeApp() { stop(); }

void NodeApp::start_admin(const NodeConfig& config) {
  AdminRoutes routes = health_routes(health());
  routes["/metrics"] = [this] {
    return AdminResponse{200, "text/plain; version=0.0.4; charset=utf-8", metrics_text()};
  };
  add_control_routes(routes);
  const HostPort wanted = value_or_throw(parse_host_port(config.admin));
  admin_ = value_or_throw(AdminHttp::start(wanted, std::move(routes), config.insecure));
}

void NodeApp::add_control_routes(AdminRoutes& routes) {
  AdminRoute& cache = routes["/v1/cache"];
  cache.get = [this](const AdminQuery&, AdminReply reply) {
    if (stage_ == Stage::kLoading) return reply(CachePage::loading);
    cache_page_->get(std::move(reply));
  };
  cache.timeout = CachePage::kTimeout;
  cache.late = [this] {
    return stage_ == Stage::kLoading ? CachePage::loading() : cache_page_->latest();
  };
  lockstep::add_control_routes(
      routes, [this] { return stage_ == Stage::kLoading ? nullptr : server_.get(); });
}

Health NodeApp::health() const {
  return {
      .live = [this] { return stage_ == Stage::kLoading || server_->is_alive(); },
      .ready = [this] { return stage_ == Stage::kServing && server_->is_alive(); },
      .started = [this] { return stage_ != Stage::kLoading; },
  };
}

void NodeApp::serve(const NodeConfig& config) {
  const uint64_t epoch = new_epoch();
  model_.emplace(ServedModel{
      .engine = engine_->engine(),
      .text = engine_->text(),
      .name = engine_->name(),
      .fingerprint = engine_->fingerprint(),
      .backend = engine_->ranks().backend_name(),
      .created = epoch / kMicrosecondsPerSecond,
      .epoch = epoch,
      .sampling_defaults = engine_->sampling_defaults(),
      .description = describe_node(config, engine_->ranks_config(), engine_->ranks().settings()),
      .block_events = engine_->block_events(),
      .text_data = engine_->text_data(),
      .text_fingerprint =
          engine_->text_data().empty() ? "" : text_fingerprint(engine_->text_data()),
  });
  NodeServerConfig server_config;
  server_config.listen = config.listen;
  server_config.events = config.events;
  server_config.events_replay = config.events_replay;
  server_ = value_or_throw(NodeServer::make(*model_, mailbox_, probes_, clock_, server_config));
  const RankGroupConfig& ranks = engine_->ranks_config();
  device_monitor_ = std::make_unique<DeviceMonitor>(*ranks.devices, ranks.n_ranks);
  probes_.attach(
      {model_->name, model_->backend, model_->fingerprint},
      [this] { return engine_->engine().snapshot(); }, engine_->ledger(), model_->block_events,
      [this] { return device_monitor_->states(); });
  cache_page_ = std::make_unique<CachePage>(*model_, clock_, config.inspect_text);
  engine_->engine().start();  // first, because accepted requests must reach their end
  server_->start();
  stage_ = Stage::kServing;
}

void NodeApp::drain() {
  stage_ = Stage::kDraining;
  server_->drain();
}

void NodeApp::stop() {
  if (!server_ || std::exchange(stopped_, true)) return;
  if (!drained()) {
    drain();
    engine_->engine().stop();  // every request gets its final message
    const auto deadline = clock_.now() + kFinalMessages;
    while (!drained() && clock_.now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
  }
  engine_->engine().stop();  // before the server, because it wakes the server's loop
  server_->stop();
}

void check_node_config(const NodeConfig& config) {
  check_addresses(config);
  check_model(config);
}

}  // namespace lockstep
