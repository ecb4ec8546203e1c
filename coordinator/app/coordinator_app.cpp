#include "coordinator/app/coordinator_app.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <thread>
#include <utility>

#include "common/log.h"
#include "common/service/http/admin_http.h"
#include "coordinator/app/cluster_page.h"
#include "coordinator/app/routes_page.h"
#include "coordinator/app/zmq_frontend.h"
#include "coordinator/http/http_server.h"
#include "coordinator/openai/api_routes.h"
#include "wire/codec/codec.h"

namespace lockstep {

// The members are in the order of their dependencies: each uses only those above it.
struct CoordinatorApp::Parts {
  explicit Parts(std::shared_ptr<prometheus::Registry> owner)
      : registry(std::move(owner)), probes(registry) {}

  // Running requests form a cycle of references: their coroutines are destroyed with `http` and
  // call `frontend`, `frontend` holds their reply queues, and the queues' timers belong to `http`.
  // All threads therefore end first, then the frontend releases the queues; after that the order of
  // destruction is correct.
  ~Parts() {
    if (http != nullptr) http->stop();
    if (frontend != nullptr) frontend->stop();
  }

  const SteadyClock clock;
  std::shared_ptr<prometheus::Registry> registry;
  CoordinatorProbes probes;
  IdGenerator ids;
  std::unique_ptr<ZmqFrontend> frontend;
  std::unique_ptr<ApiRoutes> routes;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<AdminHttp> admin;
};

namespace {

AdminRoutes admin_routes(const ZmqFrontend& frontend,
                         std::shared_ptr<prometheus::Registry> registry) {
  AdminRoutes routes = health_routes({.live = [&frontend] { return frontend.alive(); },
                                      .ready = [&frontend] { return frontend.view()->ready(); },
                                      .started = [&frontend] { return frontend.started(); }});
  routes["/v1/describe"] = [&frontend] {
    return AdminResponse{200, "application/json",
                         wire::description_json(cluster_description(*frontend.view(), ""))};
  };
  routes["/v1/cluster"] = [&frontend] {
    return AdminResponse{200, "application/json",
                         cluster_page_json(*frontend.view(), frontend.kv_status())};
  };
  routes["/v1/routes/"].get = [&frontend](const AdminQuery& query, const AdminReply& reply) {
    const auto id = query.find(kBelowPath);
    const std::string request_id = id == query.end() ? "" : id->second;
    reply([&frontend, request_id] {
      return routes_page(request_id, frontend.routes_of(request_id));
    });
  };
  routes["/metrics"] = [registry = std::move(registry)] {
    AdminResponse response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = prometheus::TextSerializer().Serialize(registry->Collect());
    return response;
  };
  return routes;
}

}  // namespace

Result<std::unique_ptr<CoordinatorApp>> CoordinatorApp::start(
    const CoordinatorConfig& config, std::shared_ptr<prometheus::Registry> registry) {
  TRY(CoordinatorSettings settings, resolve_with_node(config));
  const bool serves_admin = registry == nullptr;
  if (serves_admin) registry = std::make_shared<prometheus::Registry>();
  auto parts = std::make_unique<Parts>(std::move(registry));
  TRY(parts->frontend,
      ZmqFrontend::make(std::move(settings.frontend), parts->probes, parts->clock));
  parts->routes = std::make_unique<ApiRoutes>(*parts->frontend, parts->ids, settings.keep_alive);
  HttpHandler handler = [routes = parts->routes.get()](HttpRequest& request, HttpReply& reply) {
    return routes->handle(request, reply);
  };
  TRY(parts->http,
      HttpServer::start(std::move(settings.http), std::move(handler), parts->ids, parts->probes));
  if (serves_admin) {
    TRY(parts->admin,
        AdminHttp::start(settings.admin, admin_routes(*parts->frontend, parts->registry),
                         config.insecure));
  }
  parts->frontend->start();
  return std::unique_ptr<CoordinatorApp>(new CoordinatorApp(std::move(parts)));
}

CoordinatorApp::CoordinatorApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
CoordinatorApp::~CoordinatorApp() = default;

std::string CoordinatorApp::http_address() const { return to_string(parts_->http->address()); }
std::string CoordinatorApp::zmq_endpoint() const { return parts_->frontend->zmq_endpoint(); }
std::string CoordinatorApp::admin_address() const {
  return parts_->admin == nullptr ? "" : to_string(parts_->admin->address());
}
bool CoordinatorApp::ready() const { return parts_->frontend->view()->ready(); }
bool CoordinatorApp::alive() const { return parts_->frontend->alive(); }

bool CoordinatorApp::drain(std::chrono::milliseconds timeout, const std::function<bool()>& hurry) {
  constexpr std::chrono::milliseconds kStep{100};
  constexpr std::chrono::milliseconds kFinalMessages{1000};  // time for writing them to clients
  parts_->frontend->begin_drain();
  parts_->http->begin_drain();
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (std::chrono::steady_clock::now() < deadline && !hurry()) {
    if (!parts_->http->wait_drained(kStep)) continue;
    std::this_thread::sleep_for(kStep);  // after this, the view includes the last HTTP request
    if (parts_->frontend->view()->n_inflight == 0) return true;
  }
  parts_->frontend->end_everything();
  parts_->http->wait_drained(kFinalMessages);
  return false;
}

}  // namespace lockstep
