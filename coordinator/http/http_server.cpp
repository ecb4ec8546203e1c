#include "coordinator/http/http_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "common/log.h"
#include "common/service/http/http_guard.h"
#include "common/threads/threads.h"

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

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpServerConfig config, HttpHandler handler,
                                                      IdGenerator& ids, CoordinatorProbes& probes) {
  std::unique_ptr<HttpServer> server(
      new HttpServer(std::move(config), std::move(handler), ids, probes));
  if (Status listening = server->listen(); !listening) return listening.error();
  asio::co_spawn(server->acceptor_.get_executor(), server->accept_loop(), asio::detached);
  for (int64_t i = 0; i < server->config_.n_threads; ++i) {
    server->threads_.push_back(start_thread("HTTP", [io = &server->io_] { io->run(); }));
  }
  return server;
}

HttpServer::HttpServer(HttpServerConfig config, HttpHandler handler, IdGenerator& ids,
                       CoordinatorProbes& probes)
    : config_(within_descriptors(std::move(config))),
      context_{.limits = config_.limits,
               .handler = std::move(handler),
               .ids = ids,
               .probes = probes,
               .draining = [this] { return draining_.load(); },
               .bytes = config_.bytes,
               .is_guarded = guards_host(config_.address.host, config_.insecure)} {}

HttpServer::~HttpServer() { stop(); }

void HttpServer::stop() {
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

Status HttpServer::listen() {
  error_code error;
  const asio::ip::address ip = config_.address.host == "localhost"
                                   ? asio::ip::make_address("127.0.0.1")
                                   : asio::ip::make_address(config_.address.host, error);
  const tcp::endpoint endpoint(ip, config_.address.port);
  if (!error) acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return Error{ErrorCode::kInternal,
                 "cannot listen on " + to_string(config_.address) + ": " + error.message(), ""};
  address_ = {config_.address.host, acceptor_.local_endpoint().port()};
  return Ok{};
}

asio::awaitable<void> HttpServer::accept_loop() {
  while (true) {
    while (n_sessions() >= config_.max_connections) co_await pause();
    auto strand = asio::make_strand(io_);
    auto [error, socket] = co_await acceptor_.async_accept(strand, kAwait);
    if (!acceptor_.is_open()) co_return;
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
void HttpServer::note_accept_failure(const std::string& reason) {
  ++n_accept_failures_;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_failure_line_) return;
  next_failure_line_ = now + kFailureLine;
  log(LogLevel::kWarning, str("cannot accept a connection: ", reason, "; connections wait (tried ",
                              std::exchange(n_accept_failures_, 0), " times since the last line)"));
}

asio::awaitable<void> HttpServer::pause() {
  asio::steady_timer timer(acceptor_.get_executor(), kPause);
  co_await timer.async_wait(kAwait);
}

void HttpServer::run_session(tcp::socket socket) {
  const auto session = make_http_session(std::move(socket), context_);
  std::unique_lock lock(mutex_);
  const auto entry = sessions_.insert(sessions_.end(), session);
  lock.unlock();
  session->start([this, entry] { on_session_end(entry); });
}

void HttpServer::on_session_end(std::list<std::weak_ptr<HttpSession>>::iterator entry) {
  {
    std::lock_guard lock(mutex_);
    sessions_.erase(entry);
  }
  session_ended_.notify_all();
}

size_t HttpServer::n_sessions() const {
  std::lock_guard lock(mutex_);
  return sessions_.size();
}

void HttpServer::begin_drain() {
  draining_ = true;
  auto close = [this] {
    error_code ignored;
    acceptor_.close(ignored);
  };
  asio::post(acceptor_.get_executor(), std::move(close));
  std::lock_guard lock(mutex_);
  for (const auto& entry : sessions_) {
    if (const auto session = entry.lock()) session->close_if_idle();
  }
}

bool HttpServer::wait_drained(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return session_ended_.wait_for(lock, timeout, [this] { return sessions_.empty(); });
}

}  // namespace lockstep
