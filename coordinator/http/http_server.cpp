#include "coordinator/http/http_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/service/http/http_guard.h"
#include "common/service/http/http_session.h"
#include "common/threads/threads.h"
#include "common/version.h"
#include "coordinator/http/http_error.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// Pause of the accept loop at the connection limit, or without free file descriptors.
constexpr std::chrono::milliseconds kPause{20};
constexpr std::chrono::seconds kFailureLine{10};  // least time between two log lines
constexpr size_t kOtherDescriptors = 128;         // for the admin port, ZeroMQ and files

size_t n_descriptors_allowed() {
  rlimit limit{};
  const bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return is_known ? static_cast<size_t>(limit.rlim_cur) : SIZE_MAX;
}

HttpServerConfig within_descriptors(HttpServerConfig config) {
  const size_t n_allowed = n_descriptors_allowed();
  const size_t n = connections_within(config.max_connections, n_allowed);
  if (n < config.max_connections) {
    log(LogLevel::kWarning,
        str("max_connections: ", config.max_connections, " is more than the ", n,
            " that a limit of ", n_allowed, " open files (ulimit -n) allows; ", n, " it is"));
  }
  config.max_connections = n;
  return config;
}

}  // namespace

size_t connections_within(size_t n_wanted, size_t n_descriptors) {
  const size_t n_others = std::min(kOtherDescriptors, n_descriptors / 2);
  return std::max<size_t>(1, std::min(n_wanted, n_descriptors - n_others));
}

struct HttpServer::Impl {
  using Sessions = std::list<std::weak_ptr<HttpSession>>;

  Impl(HttpServerConfig c, HttpHandler handler, IdGenerator& ids, CoordinatorProbes& probes)
      : config(within_descriptors(std::move(c))),
        port{.limits = config.limits,
             .handler = std::move(handler),
             .error_response = error_response,
             .answers_early = true,
             .is_guarded = guards_host(config.address.host, config.insecure),
             .bytes = config.bytes,
             .draining = [this] { return draining.load(); },
             .new_request_id = [&ids] { return ids.make("req-"); },
             .on_response =
                 [&probes](HttpResponse& response, const std::string& request_id) {
                   probes.http_response(response.status);
                   response.first_headers = {{"Server", std::string("lockstep/") + kVersion},
                                             {"X-Request-Id", request_id}};
                 }} {}
  ~Impl() { stop(); }

  Status listen();
  void start_threads();
  void begin_drain();
  bool wait_drained(std::chrono::milliseconds timeout);
  void stop();
  asio::awaitable<void> accept_loop();
  asio::awaitable<void> pause();
  void run_session(tcp::socket socket);
  void on_session_end(Sessions::iterator entry);
  size_t n_sessions() const;
  void note_accept_failure(const std::string& reason);

  // constant after start()
  const HttpServerConfig config;
  const HttpPort port;
  HostPort address;
  // used by the accept loop only
  uint64_t n_accept_failures = 0;  // since the last log line
  std::chrono::steady_clock::time_point next_failure_line{};
  // any thread
  std::atomic<bool> draining{false};
  // guarded by mutex
  mutable std::mutex mutex;
  std::condition_variable session_ended;
  Sessions sessions;
  // The sessions' pending operations belong to `io` and use what is above it.
  asio::io_context io;
  tcp::acceptor acceptor{asio::make_strand(io)};
  std::vector<std::thread> threads;
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpServerConfig config, HttpHandler handler,
                                                      IdGenerator& ids, CoordinatorProbes& probes) {
  auto impl = std::make_unique<Impl>(std::move(config), std::move(handler), ids, probes);
  TRY([[maybe_unused]] const Ok listening, impl->listen());
  impl->start_threads();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

const HostPort& HttpServer::address() const { return impl_->address; }
void HttpServer::begin_drain() { impl_->begin_drain(); }
bool HttpServer::wait_drained(std::chrono::milliseconds timeout) {
  return impl_->wait_drained(timeout);
}
void HttpServer::stop() { impl_->stop(); }

void HttpServer::Impl::start_threads() {
  asio::co_spawn(acceptor.get_executor(), accept_loop(), asio::detached);
  for (int64_t i = 0; i < config.n_threads; ++i) {
    threads.push_back(start_thread("HTTP", [this] { io.run(); }));
  }
}

void HttpServer::Impl::stop() {
  io.stop();
  for (std::thread& thread : threads) thread.join();
  threads.clear();
}

Status HttpServer::Impl::listen() {
  error_code error;
  const asio::ip::address ip = config.address.host == "localhost"
                                   ? asio::ip::make_address("127.0.0.1")
                                   : asio::ip::make_address(config.address.host, error);
  const tcp::endpoint endpoint(ip, config.address.port);
  if (!error) acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return Error{ErrorCode::kInternal,
                 "cannot listen on " + to_string(config.address) + ": " + error.message(), ""};
  address = {config.address.host, acceptor.local_endpoint().port()};
  return Ok{};
}

asio::awaitable<void> HttpServer::Impl::accept_loop() {
  while (true) {
    while (n_sessions() >= config.max_connections) co_await pause();
    auto strand = asio::make_strand(io);
    auto [error, socket] = co_await acceptor.async_accept(strand, kAwait);
    if (!acceptor.is_open()) co_return;
    if (error) {
      note_accept_failure(error.message());
      co_await pause();
      continue;
    }
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    run_session(std::move(socket));
  }
}

// Logs at most one line per kFailureLine, because a failure repeats after every pause.
void HttpServer::Impl::note_accept_failure(const std::string& reason) {
  ++n_accept_failures;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_failure_line) return;
  next_failure_line = now + kFailureLine;
  log(LogLevel::kWarning, str("cannot accept a connection: ", reason, "; connections wait (tried ",
                              std::exchange(n_accept_failures, 0), " times since the last line)"));
}

asio::awaitable<void> HttpServer::Impl::pause() {
  asio::steady_timer timer(acceptor.get_executor(), kPause);
  co_await timer.async_wait(kAwait);
}

void HttpServer::Impl::run_session(tcp::socket socket) {
  const auto session = std::make_shared<HttpSession>(std::move(socket), port);
  std::unique_lock lock(mutex);
  const auto entry = sessions.insert(sessions.end(), session);
  lock.unlock();
  session->start([this, entry] { on_session_end(entry); });
}

void HttpServer::Impl::on_session_end(Sessions::iterator entry) {
  {
    std::lock_guard lock(mutex);
    sessions.erase(entry);
  }
  session_ended.notify_all();
}

size_t HttpServer::Impl::n_sessions() const {
  std::lock_guard lock(mutex);
  return sessions.size();
}

void HttpServer::Impl::begin_drain() {
  draining = true;
  auto close = [this] {
    error_code ignored;
    acceptor.close(ignored);
  };
  asio::post(acceptor.get_executor(), std::move(close));
  std::lock_guard lock(mutex);
  for (const auto& entry : sessions) {
    if (const auto session = entry.lock()) session->close_if_idle();
  }
}

bool HttpServer::Impl::wait_drained(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex);
  return session_ended.wait_for(lock, timeout, [this] { return sessions.empty(); });
}

}  // namespace lockstep
