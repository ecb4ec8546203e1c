#include "common/service/http/admin_http.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <list>
#include <optional>
#include <thread>
#include <utility>

#include "common/log.h"
#include "common/service/http/admin_handler.h"
#include "common/service/http/http_guard.h"
#include "common/service/http/http_session.h"
#include "common/threads/threads.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;
using tcp = asio::ip::tcp;

constexpr milliseconds kPause{50};  // before accepting again without free descriptors
constexpr size_t kMaxConnections = 64;
// Fewer verbs than connections may be open, so at least one connection always waits for its client.
static_assert(AdminHandler::kMaxCalls < kMaxConnections);

constexpr HttpLimits kLimits{.body_bytes = 16 * 1024,
                             .header_bytes = 8 * 1024,
                             .unparsed_bytes = 24 * 1024,
                             .header_timeout = std::chrono::seconds(10),
                             .body_timeout = std::chrono::seconds(10),
                             .idle_timeout = std::chrono::seconds(10),
                             .request_timeout = std::chrono::seconds(10),
                             .write_timeout = std::chrono::seconds(10)};

// File descriptors that the admin port reserves for probes, for times when the process has no
// others.
class SpareDescriptors {
 public:
  SpareDescriptors() { refill(); }
  ~SpareDescriptors() {
    while (give()) {
    }
  }
  SpareDescriptors(const SpareDescriptors&) = delete;
  SpareDescriptors& operator=(const SpareDescriptors&) = delete;

  void refill() {
    for (int& fd : fds_) {
      if (fd < 0) fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
  }
  // Frees one reserved descriptor; false if none is left.
  bool give() {
    const auto found = std::find_if(fds_.begin(), fds_.end(), [](int fd) { return fd >= 0; });
    if (found == fds_.end()) return false;
    close(std::exchange(*found, -1));
    return true;
  }

 private:
  std::array<int, 4> fds_{-1, -1, -1, -1};
};

HostPort host_port(const tcp::endpoint& endpoint) {
  return {endpoint.address().to_string(), endpoint.port()};
}

}  // namespace

struct AdminHttp::Impl {
  Impl(AdminRoutes routes, bool is_guarded)
      : handler(io, std::move(routes), jobs.queue()),
        port{.limits = kLimits,
             .handler = [this](HttpRequest& request,
                               HttpReply& reply) { return handler.handle(request, reply); },
             .error_response = [](const Error& error) { return to_http(admin_error(error)); },
             .is_guarded = is_guarded} {}
  ~Impl() {
    io.stop();
    if (thread.joinable()) thread.join();
    jobs.stop();
  }

  Status listen(const HostPort& wanted) {
    error_code error;
    tcp::resolver resolver(io);
    const auto found =
        resolver.resolve(wanted.host, std::to_string(wanted.port), tcp::resolver::passive, error);
    if (error) return cannot_listen(wanted, error);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) return cannot_listen(wanted, error);
    address = host_port(acceptor.local_endpoint(error));
    return Ok{};
  }

  static Error cannot_listen(const HostPort& wanted, const error_code& error) {
    return {ErrorCode::kInternal, "cannot listen on " + to_string(wanted) + ": " + error.message(),
            ""};
  }

  void accept() {
    acceptor.async_accept([this](error_code error, tcp::socket socket) {
      if (error) return accept_again(error);
      const bool is_full = sessions.size() >= kMaxConnections;
      if (!is_full || close_silent(milliseconds{0})) run_session(std::move(socket));
      spare.refill();
      accept();
    });
  }

  void run_session(tcp::socket socket) {
    const auto session = std::make_shared<HttpSession>(std::move(socket), port);
    const auto entry = sessions.insert(sessions.end(), session);
    session->start([this, entry] { sessions.erase(entry); });
  }

  // Closes the connection that has waited longest for its client, if for `least` or more. False if
  // none has. A probe is a new connection that sends its request at once, so a probe is never the
  // one that is closed for a new connection.
  bool close_silent(milliseconds least) {
    auto since = HttpSession::Clock::now() - least;
    std::shared_ptr<HttpSession> silent;
    for (const auto& entry : sessions) {
      const auto session = entry.lock();
      const auto waiting_since = session ? session->waiting_since() : std::nullopt;
      if (!waiting_since || *waiting_since > since) continue;
      since = *waiting_since;
      silent = session;
    }
    if (silent) silent->close();
    return silent != nullptr;
  }

  // Out of descriptors: frees a reserved one, or closes a connection that has been silent.
  void accept_again(const error_code& error) {
    const bool is_short = error == asio::error::no_descriptors ||
                          error == error_code(ENFILE, boost::system::system_category());
    if (is_short && (spare.give() || close_silent(kPause))) return accept();
    retry.expires_after(kPause);
    retry.async_wait([this](error_code failed) {
      if (failed) return;
      spare.refill();
      accept();
    });
  }

  // constant after start
  HostPort address;
  AdminJobs jobs;
  // the probes' thread; the sessions' pending operations belong to `io` and use what is above it
  SpareDescriptors spare;
  AdminHandler handler;
  const HttpPort port;
  std::list<std::weak_ptr<HttpSession>> sessions;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer retry{io};
  std::thread thread;
};

AdminHttp::AdminHttp(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminHttp::~AdminHttp() = default;

const HostPort& AdminHttp::address() const { return impl_->address; }

Result<std::unique_ptr<AdminHttp>> AdminHttp::start(const HostPort& address, AdminRoutes routes,
                                                    bool insecure) {
  auto impl = std::make_unique<Impl>(std::move(routes), guards_host(address.host, insecure));
  TRY([[maybe_unused]] const Ok listening, impl->listen(address));
  impl->accept();
  impl->thread = start_thread("the admin port", [io = &impl->io] { io->run(); });
  return std::unique_ptr<AdminHttp>(new AdminHttp(std::move(impl)));
}

AdminResponse admin_error(const Error& error) {
  return {http_status(error.code), "application/json",
          str("{\"error\":{\"code\":\"", to_string(error.code), "\",\"message\":\"", error.message,
              "\",\"param\":\"", error.param, "\"}}\n")};
}

AdminRoutes health_routes(const Health& health) {
  const auto probe = [](const std::function<bool()>& is_good) {
    AdminRoute route;
    route.probe = is_good;
    return route;
  };
  return {{"/health", probe(health.ready)},
          {"/readyz", probe(health.ready)},
          {"/livez", probe(health.live)},
          {"/startupz", probe(health.started)}};
}

}  // namespace lockstep
