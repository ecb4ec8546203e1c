#include "common/service/admin_http.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <thread>

#include "common/log.h"
#include "common/service/percent.h"
#include "common/threads.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr int kMaxConnections = 64;
constexpr uint32_t kMaxHeaderBytes = 8 * 1024;
constexpr uint64_t kMaxBodyBytes = 16 * 1024;
constexpr std::chrono::seconds kReadTimeout{10};  // of a whole request, idle time included
constexpr std::chrono::seconds kWriteTimeout{10};

using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

const char* allowed_methods(const AdminRoute& route) {
  if (!route.post) return "GET, HEAD";
  return route.get ? "GET, HEAD, POST" : "POST";
}

// "?a=1&b=2"; a name without '=' has an empty value, the last of equal names counts.
AdminQuery parse_query(std::string_view text) {
  AdminQuery query;
  if (!text.empty()) text.remove_prefix(1);
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    query[percent_decode(pair.substr(0, equals))] = percent_decode(value);
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
  }
  return query;
}

Response respond(const Request& request, const AdminRoutes& routes) {
  Response response;
  response.version(request.version());
  response.keep_alive(request.keep_alive());
  const std::string target(request.target());
  const size_t path_end = std::min(target.find('?'), target.size());
  const auto route = routes.find(target.substr(0, path_end));
  const bool is_post = request.method() == http::verb::post;
  const bool is_get = request.method() == http::verb::get || request.method() == http::verb::head;
  if (route == routes.end()) {
    response.result(http::status::not_found);
    response.body() = "not found\n";
  } else if (!(is_get && route->second.get) && !(is_post && route->second.post)) {
    response.result(http::status::method_not_allowed);
    response.set(http::field::allow, allowed_methods(route->second));
  } else {
    AdminResponse answer =
        is_post ? route->second.post(parse_query(target.substr(path_end))) : route->second.get();
    response.result(static_cast<unsigned>(answer.status));
    response.set(http::field::content_type, answer.content_type);
    response.body() = std::move(answer.body);
  }
  response.prepare_payload();
  if (request.method() == http::verb::head) response.body().clear();  // the length stays
  return response;
}

// One connection; keeps itself alive through its pending operation.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const AdminRoutes& routes, int& n_connections)
      : stream_(std::move(socket)), routes_(routes), n_connections_(n_connections) {
    ++n_connections_;
  }
  ~Session() { --n_connections_; }

  void read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    parser_->body_limit(kMaxBodyBytes);
    stream_.expires_after(kReadTimeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) {
                       if (!error) self->write();
                     });
  }

 private:
  void write() {
    response_ = respond(parser_->get(), routes_);
    stream_.expires_after(kWriteTimeout);
    http::async_write(stream_, response_, [self = shared_from_this()](error_code error, size_t) {
      if (error || !self->response_.keep_alive()) return;
      self->read();
    });
  }

  beast::tcp_stream stream_;
  const AdminRoutes& routes_;
  int& n_connections_;
  beast::flat_buffer buffer_{kMaxHeaderBytes + kMaxBodyBytes};
  std::optional<http::request_parser<http::string_body>> parser_;
  Response response_;
};

HostPort host_port(const tcp::endpoint& endpoint) {
  return {endpoint.address().to_string(), endpoint.port()};
}

}  // namespace

struct AdminHttp::Impl {
  explicit Impl(AdminRoutes r) : routes(std::move(r)) {}
  ~Impl() {
    io.stop();
    if (thread.joinable()) thread.join();
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
      if (error) return accept_later();  // out of descriptors: the next may fare better
      if (n_connections < kMaxConnections) {
        std::make_shared<Session>(std::move(socket), routes, n_connections)->read();
      }
      accept();
    });
  }

  void accept_later() {
    retry.expires_after(std::chrono::milliseconds{100});
    retry.async_wait([this](error_code error) {
      if (!error) accept();
    });
  }

  // constant after start
  const AdminRoutes routes;
  HostPort address;
  // the server's thread
  int n_connections = 0;  // outlives io, whose pending operations own the sessions
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer retry{io};
  std::thread thread;
};

AdminHttp::AdminHttp(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminHttp::~AdminHttp() = default;

const HostPort& AdminHttp::address() const { return impl_->address; }

Result<std::unique_ptr<AdminHttp>> AdminHttp::start(const HostPort& address, AdminRoutes routes) {
  auto impl = std::make_unique<Impl>(std::move(routes));
  TRY([[maybe_unused]] const Ok listening, impl->listen(address));
  impl->accept();
  impl->thread = start_thread("the admin port", [io = &impl->io] { io->run(); });
  return std::unique_ptr<AdminHttp>(new AdminHttp(std::move(impl)));
}

AdminRoutes health_routes(const Health& health) {
  const auto probe = [](std::function<bool()> is_good) {
    return [is_good = std::move(is_good)] {
      return is_good() ? AdminResponse{200, "text/plain; charset=utf-8", "ok\n"}
                       : AdminResponse{503, "text/plain; charset=utf-8", "not ready\n"};
    };
  };
  return {{"/health", probe(health.ready)},
          {"/readyz", probe(health.ready)},
          {"/livez", probe(health.live)},
          {"/startupz", probe(health.started)}};
}

}  // namespace lockstep
