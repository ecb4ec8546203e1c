#include "common/service/http/admin_http.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <thread>

#include "common/log.h"
#include "common/service/http/admin_session.h"
#include "common/service/http/http_guard.h"
#include "common/threads/threads.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;
using tcp = asio::ip::tcp;

constexpr milliseconds kPause{50};  // before accepting again without free descriptors

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
  Impl(AdminRoutes r, bool is_guarded)
      : routes(std::move(r)), floor{io, routes, is_guarded, jobs.queue(), {}, 0} {}
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
      const bool is_full = floor.sessions.size() >= AdminFloor::kMaxConnections;
      if (!is_full || floor.close_silent(milliseconds{0})) {
        std::make_shared<AdminSession>(std::move(socket), floor)->read();
      }
      spare.refill();
      accept();
    });
  }

  // Out of descriptors: frees a reserved one, or closes a connection that has been silent.
  void accept_again(const error_code& error) {
    const bool is_short = error == asio::error::no_descriptors ||
                          error == error_code(ENFILE, boost::system::system_category());
    if (is_short && (spare.give() || floor.close_silent(kPause))) return accept();
    retry.expires_after(kPause);
    retry.async_wait([this](error_code failed) {
      if (failed) return;
      spare.refill();
      accept();
    });
  }

  // constant after start
  const AdminRoutes routes;
  HostPort address;
  AdminJobs jobs;
  // the probes' thread
  SpareDescriptors spare;
  AdminFloor floor;  // outlives io, whose pending operations own the sessions
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
