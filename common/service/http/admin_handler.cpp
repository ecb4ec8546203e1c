#include "common/service/http/admin_handler.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "common/log.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr milliseconds kLateTimeout{1000};  // time for a late answer to be written

const char* allowed_methods(const AdminRoute& route) {
  if (!route.post) return "GET, HEAD";
  return route.get || route.probe ? "GET, HEAD, POST" : "POST";
}

AdminResponse too_many_calls() {
  return admin_error(
      {ErrorCode::kOverloaded, "too many requests of the admin port wait for their answer", ""});
}

AdminResponse busy() {
  return admin_error({ErrorCode::kOverloaded, "the admin port has too much to do", ""});
}

AdminResponse too_late(milliseconds timeout) {
  return admin_error(
      {ErrorCode::kDeadlineExceeded, str("no answer within ", timeout.count(), " ms"), ""});
}

HttpResponse method_not_allowed(const AdminRoute& route) {
  HttpResponse response = to_http({405, "text/plain", ""});
  response.first_headers = {{"Allow", allowed_methods(route)}};
  return response;
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

// The answer that a call waits for.
class PendingAnswer {
 public:
  explicit PendingAnswer(asio::io_context& io) : timer_(io) {}

  // False if the answer does not arrive in time.
  asio::awaitable<bool> wait(milliseconds timeout) {
    timer_.expires_after(timeout);
    if (!answer_) co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    co_return answer_.has_value();
  }
  void set(AdminResponse answer) {
    answer_ = std::move(answer);
    timer_.cancel();
  }
  AdminResponse take() { return std::move(*answer_); }

 private:
  asio::steady_timer timer_;
  std::optional<AdminResponse> answer_;
};

// Counts a call while it exists.
class CallCount {
 public:
  explicit CallCount(int& n_calls) : n_calls_(n_calls) { ++n_calls_; }
  ~CallCount() { --n_calls_; }
  CallCount(const CallCount&) = delete;
  CallCount& operator=(const CallCount&) = delete;

 private:
  int& n_calls_;
};

}  // namespace

HttpResponse to_http(AdminResponse response) {
  HttpResponse out;
  out.status = response.status;
  out.content_type = std::move(response.content_type);
  out.body = std::move(response.body);
  return out;
}

AdminHandler::AdminHandler(asio::io_context& io, AdminRoutes routes,
                           std::shared_ptr<AdminJobs::Queue> jobs)
    : io_(io), routes_(std::move(routes)), jobs_(std::move(jobs)) {}

asio::awaitable<void> AdminHandler::handle(HttpRequest& request, HttpReply& reply) {
  std::string_view below;
  auto found = routes_.find(request.path);
  if (found == routes_.end()) {
    const size_t folder_size = request.path.rfind('/') + 1;
    below = std::string_view(request.path).substr(folder_size);
    if (!below.empty()) found = routes_.find(request.path.substr(0, folder_size));
  }
  HttpResponse response = to_http({404, "text/plain", "not found\n"});
  if (found != routes_.end()) response = co_await answer(found->second, request, below);
  co_await reply.send(std::move(response));
}

asio::awaitable<HttpResponse> AdminHandler::answer(const AdminRoute& route,
                                                   const HttpRequest& request,
                                                   std::string_view below) {
  const bool is_get = request.method == "GET";  // also HEAD
  const bool is_post = request.method == "POST";
  if (is_get && route.probe) co_return to_http(probe(route.probe));
  const AdminVerb& verb = is_post ? route.post : route.get;
  if (!verb || !(is_get || is_post)) co_return method_not_allowed(route);
  AdminQuery query = parse_query(request.query);
  if (request.path.ends_with('/')) query.erase(kBelowPath);
  if (!below.empty()) query.insert_or_assign(kBelowPath, percent_decode(below));
  AdminResponse answer = co_await call(route, verb, std::move(query));
  co_return to_http(std::move(answer));
}

asio::awaitable<AdminResponse> AdminHandler::call(const AdminRoute& route, const AdminVerb& verb,
                                                  AdminQuery query) {
  if (n_calls_ >= kMaxCalls) co_return too_many_calls();
  const CallCount count(n_calls_);
  const auto pending = std::make_shared<PendingAnswer>(io_);
  // Runs on the verbs' thread, which ends before `io_` does. A reply may outlive both, so it holds
  // no strong reference to the timer.
  auto deliver = [&io = io_, weak = std::weak_ptr(pending)](AdminResponse answer) {
    asio::post(io, [weak, answer = std::move(answer)]() mutable {
      if (const auto waiting = weak.lock()) waiting->set(std::move(answer));
    });
  };
  const auto call = std::make_shared<AdminCall>(jobs_, std::move(deliver));
  if (!call->start(verb, std::move(query))) co_return busy();
  bool is_answered = co_await pending->wait(route.timeout);
  // The verbs' thread writes the route's late answer. If that thread hangs as well, this one does.
  if (!is_answered && route.late && call->reply_late(route.late)) {
    is_answered = co_await pending->wait(kLateTimeout);
  }
  if (is_answered) co_return pending->take();
  co_return too_late(route.timeout);
}

}  // namespace lockstep
