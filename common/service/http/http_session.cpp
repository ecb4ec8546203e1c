#include "common/service/http/http_session.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "common/log.h"
#include "common/service/http/response_head.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;

constexpr const char* kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::chrono::seconds kLinger{2};  // time for a client to read a refusal

// A client's id is written to logs and headers, so only a short printable id is used.
bool is_usable_id(std::string_view id) {
  const auto is_visible = [](char c) { return c > 0x20 && c < 0x7f; };
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), is_visible);
}

Error no_room(const ByteBudget& budget) {
  return {ErrorCode::kOverloaded,
          str("the requests in flight hold ", budget.n_bytes_held(),
              " bytes; with this body they would exceed ", budget.n_bytes_max()),
          ""};
}

// A proxy in front of the server could interpret a transfer coding other than chunked differently.
Error other_coding() {
  return {ErrorCode::kInvalidRequest, "malformed HTTP: bad Transfer-Encoding", ""};
}

}  // namespace

HttpSession::HttpSession(asio::ip::tcp::socket socket, const HttpPort& port)
    : port_(port), stream_(std::move(socket), port.limits) {}

void HttpSession::start(std::function<void()> on_end) {
  auto finish = [self = shared_from_this(),
                 end = std::move(on_end)](const std::exception_ptr& failure) {
    if (failure) log(LogLevel::kError, "an HTTP connection ended by an exception");
    self->close();
    end();
  };
  asio::co_spawn(executor(), run(), std::move(finish));
}

void HttpSession::close_if_idle() {
  asio::post(executor(), [self = shared_from_this()] {
    if (self->is_idle_) self->close();
  });
}

void HttpSession::close() {
  is_open_ = false;
  stream_.close();
}

std::optional<HttpSession::Clock::time_point> HttpSession::waiting_since() const {
  return is_open_ ? waiting_since_ : std::nullopt;
}

asio::awaitable<void> HttpSession::run() {
  bool is_open = co_await wait_request();
  while (is_open) {
    is_open = co_await serve_one_request();
    if (is_open) is_open = co_await wait_request();
  }
}

// Waits for the first bytes of the next request; a drain may end the wait.
asio::awaitable<bool> HttpSession::wait_request() {
  waiting_since_ = Clock::now();
  const auto& timeout = port_.limits.request_timeout;
  read_deadline_ = timeout ? *waiting_since_ + *timeout : Clock::time_point::max();
  if (stream_.has_input()) co_return true;
  if (port_.draining()) co_return false;
  is_idle_ = true;
  limit_reading(is_first_ ? port_.limits.header_timeout : port_.limits.idle_timeout);
  const bool has_begun = co_await stream_.wait_input();
  is_idle_ = false;
  is_first_ = false;
  co_return (has_begun && is_open_);
}

// Returns false when the connection must be closed.
asio::awaitable<bool> HttpSession::serve_one_request() {
  begin_request();
  const Result<bool> was_read = co_await read_request();
  if (!was_read) {
    if (port_.answers_early) co_await refuse(was_read.error());
    co_return false;
  }
  if (!*was_read || !is_open_) co_return false;
  HttpRequest request = take_request();
  waiting_since_.reset();
  if (allowed_) {
    co_await port_.handler(request, *this);
  } else {
    HttpResponse response = port_.error_response(allowed_.error());
    co_await send(std::move(response));
  }
  stream_.end_watch();
  co_return (keep_alive_ && is_open_);
}

void HttpSession::begin_request() {
  is_head_ = false;
  is_http_11_ = true;
  keep_alive_ = false;
  request_id_ = port_.new_request_id();
  allowed_ = Ok{};
  body_hold_ = ByteHold(port_.bytes);
}

// Returns what HttpStream's functions do, and an Error for a request that is refused early.
asio::awaitable<Result<bool>> HttpSession::read_request() {
  limit_reading(port_.limits.header_timeout);
  Result<bool> was_read = co_await stream_.read_head();
  if (!was_read || !*was_read) co_return was_read;
  const HttpRequestHead& head = stream_.head();
  if (is_usable_id(head.request_id)) request_id_ = std::string(head.request_id);
  if (head.has_other_coding && port_.answers_early) co_return other_coding();
  is_head_ = head.guarded.method == "HEAD";
  allowed_ = check_head(head.guarded, port_.is_guarded);
  if (!allowed_ && port_.answers_early) co_return allowed_.error();
  limit_reading(port_.limits.body_timeout);
  if (head.expects_continue && port_.answers_early) {
    const bool was_sent = co_await stream_.write(kContinue);
    if (!was_sent) co_return false;
  }
  was_read = co_await read_body();
  co_return was_read;
}

// The body's bytes are reserved from the budget as they arrive, not by the announced length.
asio::awaitable<Result<bool>> HttpSession::read_body() {
  while (!stream_.has_whole_body()) {
    Result<bool> was_read = co_await stream_.read_body_part();
    if (!was_read || !*was_read) co_return was_read;
    const size_t n_new = stream_.n_body_bytes() - body_hold_.n_bytes();
    if (port_.bytes && !body_hold_.grow(n_new)) co_return no_room(*port_.bytes);
  }
  co_return true;
}

HttpRequest HttpSession::take_request() {
  const HttpRequestHead& head = stream_.head();
  is_http_11_ = head.is_http_11;
  keep_alive_ = head.keep_alive && !port_.draining();
  const std::string_view target = head.target;
  const size_t path_end = std::min(target.find('?'), target.size());
  const size_t query_begin = std::min(path_end + 1, target.size());
  return {.method = is_head_ ? "GET" : std::string(head.guarded.method),
          .path = std::string(target.substr(0, path_end)),
          .query = std::string(target.substr(query_begin)),
          .body = stream_.take_body(),
          .request_id = request_id_,
          .resume_token = std::string(head.resume_token),
          .last_event_id = std::string(head.last_event_id),
          .session_id = std::string(head.session_id),
          .route_receipt = std::string(head.route_receipt),
          .body_hold = std::move(body_hold_)};
}

// Answers a request that could not be read. The client may still be sending, so the session waits
// kLinger before it closes: otherwise the unread bytes would make the kernel reset the connection
// before the client has read the answer.
asio::awaitable<void> HttpSession::refuse(const Error& error) {
  stream_.take_body();  // freed before the refusal is sent, which may take long
  body_hold_ = ByteHold();
  HttpResponse response = port_.error_response(error);
  const bool was_sent = co_await send(std::move(response));
  if (!was_sent) co_return;
  stream_.set_deadline(Clock::now() + kLinger);
  co_await stream_.drop_input(4 * port_.limits.body_bytes);
}

asio::awaitable<bool> HttpSession::send(HttpResponse response) {
  port_.on_response(response, request_id_);
  const std::string head =
      response_head(response, {.is_http_11 = is_http_11_, .keep_alive = keep_alive_});
  const std::string_view body = is_head_ ? std::string_view() : response.body;
  co_return co_await write(head, body);
}

// HTTP/1.0 has no chunked encoding; there, closing the connection ends the stream.
asio::awaitable<bool> HttpSession::begin_events(HttpHeaders headers) {
  if (!is_http_11_) keep_alive_ = false;
  HttpResponse response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  for (auto& header : headers) response.headers.push_back(std::move(header));
  port_.on_response(response, request_id_);
  const std::string head = response_head(
      response, {.is_http_11 = is_http_11_,
                 .keep_alive = keep_alive_,
                 .body_end = is_http_11_ ? BodyEnd::kChunked : BodyEnd::kConnectionClosed});
  co_return co_await write(head);
}

asio::awaitable<bool> HttpSession::send_events(std::string text) {
  if (text.empty()) co_return is_open_;
  if (!is_http_11_) co_return co_await write(text);
  const std::string begin = chunk_begin(text.size());
  co_return co_await write(begin, text, kChunkEnd);
}

asio::awaitable<bool> HttpSession::end_events() {
  if (!is_http_11_) co_return true;
  co_return co_await write(kLastChunk);
}

asio::awaitable<bool> HttpSession::write(std::string_view first, std::string_view second,
                                         std::string_view third) {
  waiting_since_ = Clock::now();
  stream_.set_deadline(*waiting_since_ + port_.limits.write_timeout);
  const bool was_sent = co_await stream_.write(first, second, third);
  waiting_since_.reset();
  is_open_ = is_open_ && was_sent;
  co_return was_sent;
}

void HttpSession::watch_client(std::function<void()> on_gone) {
  auto on_end = [this, on_gone = std::move(on_gone)] {
    is_open_ = false;
    on_gone();
  };
  stream_.watch(shared_from_this(), std::move(on_end));
}

void HttpSession::limit_reading(std::chrono::milliseconds timeout) {
  stream_.set_deadline(std::min(Clock::now() + timeout, read_deadline_));
}

}  // namespace lockstep
