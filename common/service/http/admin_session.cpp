#include "common/service/http/admin_session.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "common/log.h"
#include "common/service/http/http_head.h"
#include "common/service/http/percent.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr uint32_t kMaxHeaderBytes = 8 * 1024;
constexpr uint64_t kMaxBodyBytes = 16 * 1024;
constexpr std::chrono::seconds kReadTimeout{10};  // for a whole request, including idle time
constexpr std::chrono::seconds kWriteTimeout{10};
constexpr milliseconds kLateTimeout{1000};  // time for a late answer to be written

const char* allowed_methods(const AdminRoute& route) {
  if (!route.post) return "GET, HEAD";
  return route.get || route.probe ? "GET, HEAD, POST" : "POST";
}

// Parses "?a=1&b=2". A name without '=' has an empty value; of equal names the last one counts.
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

AdminResponse busy() {
  return admin_error({ErrorCode::kOverloaded, "the admin port has too much to do", ""});
}

AdminResponse probe(const std::function<bool()>& is_good) {
  bool good = false;
  try {
    good = is_good();
  } catch (const std::exception& error) {
    log(LogLevel::kError, str("a probe failed: ", error.what()));
  }
  return good ? AdminResponse{200, "text/plain; charset=utf-8", "ok\n"}
              : AdminResponse{503, "text/plain; charset=utf-8", "not ready\n"};
}

}  // namespace

bool AdminFloor::close_silent(milliseconds least) {
  const auto latest = AdminSession::Clock::now() - least;
  for (AdminSession* session : sessions) {
    if (session->silent_since_ > latest) return false;  // sessions are ordered by silence
    if (session->call_ || session->is_closed_) continue;
    session->is_closed_ = true;
    session->stream_.close();
    return true;
  }
  return false;
}

AdminSession::AdminSession(asio::ip::tcp::socket socket, AdminFloor& floor)
    : floor_(floor),
      stream_(std::move(socket)),
      timer_(floor.io),
      buffer_(kMaxHeaderBytes + kMaxBodyBytes),
      place_(floor.sessions.insert(floor.sessions.end(), this)),
      silent_since_(Clock::now()) {}

AdminSession::~AdminSession() {
  if (call_) --floor_.n_calls;  // only if the server ends
  floor_.sessions.erase(place_);
}

void AdminSession::read() {
  floor_.sessions.splice(floor_.sessions.end(), floor_.sessions, place_);
  silent_since_ = Clock::now();
  parser_.emplace();
  parser_->header_limit(kMaxHeaderBytes);
  parser_->body_limit(kMaxBodyBytes);
  stream_.expires_after(kReadTimeout);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](error_code error, size_t) {
                     if (!error && !self->is_closed_) self->answer(self->parser_->get());
                   });
}

void AdminSession::answer(const Request& request) {
  response_ = {};
  const std::string target(request.target());
  const size_t path_end = std::min(target.find('?'), target.size());
  const auto found = floor_.routes.find(target.substr(0, path_end));
  const bool is_post = request.method() == http::verb::post;
  const bool is_get = request.method() == http::verb::get || request.method() == http::verb::head;
  if (const Status good = check_head(head_of(request), floor_.is_guarded); !good) {
    return write(admin_error(good.error()));
  }
  if (found == floor_.routes.end()) return write({404, "text/plain", "not found\n"});
  const AdminRoute& route = found->second;
  if (is_get && route.probe) return write(probe(route.probe));
  const AdminVerb& verb = is_post ? route.post : route.get;
  if (!(is_get || is_post) || !verb) {
    response_.set(http::field::allow, allowed_methods(route));
    return write({405, "text/plain", ""});
  }
  call(route, verb, parse_query(std::string_view(target).substr(path_end)));
}

void AdminSession::call(const AdminRoute& route, const AdminVerb& verb, AdminQuery query) {
  if (floor_.n_calls >= AdminFloor::kMaxCalls) {
    return write(admin_error(
        {ErrorCode::kOverloaded, "too many requests of the admin port wait for their answer", ""}));
  }
  // Runs on the verbs' thread, which ends before `io` does.
  auto deliver = [weak = weak_from_this(), &io = floor_.io, id = ++call_id_](AdminResponse answer) {
    asio::post(io, [weak, id, answer = std::move(answer)]() mutable {
      if (const auto self = weak.lock()) self->end_call(id, std::move(answer));
    });
  };
  call_ = std::make_shared<AdminCall>(floor_.jobs, std::move(deliver));
  late_ = route.late;
  timeout_ = route.timeout;
  ++floor_.n_calls;
  wait_timeout(timeout_);
  if (!call_->start(verb, std::move(query))) end_call(call_id_, busy());
}

void AdminSession::wait_timeout(milliseconds timeout) {
  timer_.expires_after(timeout);
  timer_.async_wait([self = shared_from_this(), id = call_id_](error_code error) {
    if (!error && self->call_ && self->call_id_ == id) self->on_timeout();
  });
}

// The verbs' thread writes the route's late answer. If that thread hangs as well, this one does.
void AdminSession::on_timeout() {
  if (const AdminAnswer late = std::exchange(late_, nullptr)) {
    wait_timeout(kLateTimeout);
    if (call_->reply_late(late)) return;
  }
  end_call(call_id_, admin_error({ErrorCode::kDeadlineExceeded,
                                  str("no answer within ", timeout_.count(), " ms"), ""}));
}

void AdminSession::end_call(uint64_t id, AdminResponse answer) {
  if (!call_ || id != call_id_) return;
  call_ = nullptr;
  --floor_.n_calls;
  timer_.cancel();
  write(std::move(answer));
}

void AdminSession::write(AdminResponse answer) {
  const Request& request = parser_->get();
  response_.version(request.version());
  response_.keep_alive(request.keep_alive());
  response_.result(static_cast<unsigned>(answer.status));
  response_.set(http::field::content_type, answer.content_type);
  response_.body() = std::move(answer.body);
  response_.prepare_payload();
  if (request.method() == http::verb::head) response_.body().clear();  // keeps Content-Length
  stream_.expires_after(kWriteTimeout);
  http::async_write(stream_, response_, [self = shared_from_this()](error_code error, size_t) {
    if (!error && !self->is_closed_ && self->response_.keep_alive()) self->read();
  });
}

}  // namespace lockstep
