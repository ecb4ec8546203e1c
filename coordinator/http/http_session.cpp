#include "coordinator/http/http_session.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>

#include "common/log.h"
#include "common/service/http/http_head.h"
#include "common/version.h"
#include "coordinator/http/http_error.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 16u << 10;
constexpr size_t kMaxPipelinedBytes = 256u << 10;  // kept while a request is being answered
constexpr auto kLinger = std::chrono::seconds(2);  // time for a client to read a refusal

// A client's id is written to logs and headers, so only a short printable id is used.
bool is_usable_id(std::string_view id) {
  const auto is_visible = [](char c) { return c > 0x20 && c < 0x7f; };
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), is_visible);
}

// The error code for a body that the byte budget has no room for now. Beast uses this code for
// buffers with a limit only; the buffers here have no limit.
constexpr auto kNoRoom = http::error::buffer_overflow;

// The error response for a request that could not be read; nullopt when the client is disconnected
// or too slow.
std::optional<Error> explain(const error_code& error, const HttpContext& context) {
  const HttpLimits& limits = context.limits;
  if (error == kNoRoom)
    return Error{ErrorCode::kOverloaded,
                 str("the requests in flight hold ", context.bytes->n_bytes_held(),
                     " bytes; with this body they would exceed ", context.bytes->n_bytes_max()),
                 ""};
  if (error == http::error::body_limit)
    return Error{ErrorCode::kPayloadTooLarge,
                 str("the body is larger than ", limits.body_bytes, " bytes"), ""};
  if (error == http::error::header_limit)
    return Error{ErrorCode::kInvalidRequest,
                 str("the headers are larger than ", limits.header_bytes, " bytes"), ""};
  if (error == http::error::end_of_stream || error == http::error::partial_message)
    return std::nullopt;
  static const auto& http_errors = http::make_error_code(http::error::bad_version).category();
  if (error.category() == http_errors)
    return Error{ErrorCode::kInvalidRequest, "malformed HTTP: " + error.message(), ""};
  return std::nullopt;
}

class Session final : public HttpSession,
                      public HttpReply,
                      public std::enable_shared_from_this<Session> {
 public:
  Session(asio::ip::tcp::socket socket, const HttpContext& context)
      : context_(context), stream_(std::move(socket)) {}

  void start(std::function<void()> on_end) override {
    auto finish = [self = shared_from_this(),
                   end = std::move(on_end)](const std::exception_ptr& failure) {
      if (failure) log(LogLevel::kError, "an HTTP connection ended by an exception");
      self->stream_.close();
      end();
    };
    asio::co_spawn(stream_.get_executor(), run(), std::move(finish));
  }

  void close_if_idle() override {
    auto close = [self = shared_from_this()] {
      if (self->idle_) self->stream_.close();
    };
    asio::post(stream_.get_executor(), std::move(close));
  }

  asio::any_io_executor executor() override { return stream_.get_executor(); }

  asio::awaitable<bool> send(HttpResponse response) override {
    http::response<http::string_body> message = head<http::string_body>(response.status);
    message.set(http::field::content_type, response.content_type);
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.content_length(response.body.size());
    http::response_serializer<http::string_body> serializer(message);
    if (!is_head_) message.body() = std::move(response.body);
    stream_.expires_after(context_.limits.write_timeout);
    if (is_head_) {
      const auto [error, n] = co_await http::async_write_header(stream_, serializer, kAwait);
      co_return answered(!error);
    }
    const auto [error, n] = co_await http::async_write(stream_, serializer, kAwait);
    co_return answered(!error);
  }

  // HTTP/1.0 has no chunked encoding; there, closing the connection ends the stream.
  asio::awaitable<bool> begin_events(HttpHeaders headers) override {
    if (!is_chunkable_) keep_alive_ = false;
    http::response<http::empty_body> message = head<http::empty_body>(200);
    message.set(http::field::content_type, "text/event-stream; charset=utf-8");
    message.set(http::field::cache_control, "no-cache");
    message.set("X-Accel-Buffering", "no");
    for (const auto& [name, value] : headers) message.set(name, value);
    if (is_chunkable_) message.chunked(true);
    http::response_serializer<http::empty_body> serializer(message);
    stream_.expires_after(context_.limits.write_timeout);
    const auto [error, n] = co_await http::async_write_header(stream_, serializer, kAwait);
    co_return answered(!error);
  }

  asio::awaitable<bool> send_events(std::string text) override {
    if (text.empty()) co_return is_open_;
    stream_.expires_after(context_.limits.write_timeout);
    if (is_chunkable_) {
      const auto [error, n] =
          co_await asio::async_write(stream_, http::make_chunk(asio::buffer(text)), kAwait);
      co_return answered(!error);
    }
    const auto [error, n] = co_await asio::async_write(stream_, asio::buffer(text), kAwait);
    co_return answered(!error);
  }

  asio::awaitable<bool> end_events() override {
    if (!is_chunkable_) co_return true;
    stream_.expires_after(context_.limits.write_timeout);
    const auto [error, n] = co_await asio::async_write(stream_, http::make_chunk_last(), kAwait);
    co_return answered(!error);
  }

  void watch_peer(std::function<void()> on_gone) override {
    on_gone_ = std::move(on_gone);
    stream_.socket().non_blocking(true);
    wait_readable();
  }

 private:
  asio::awaitable<void> run() {
    bool is_open = co_await read_first_bytes();
    while (is_open) {
      is_open = co_await serve_one_request();
      if (is_open) is_open = co_await read_first_bytes();
    }
  }

  // Waits for the next request; a drain may end the wait.
  asio::awaitable<bool> read_first_bytes() {
    if (buffer_.size() > 0) co_return true;
    if (context_.draining()) co_return false;
    idle_ = true;
    stream_.expires_after(is_first_ ? context_.limits.header_timeout
                                    : context_.limits.idle_timeout);
    const auto [error, n] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
    idle_ = false;
    is_first_ = false;
    buffer_.commit(n);
    co_return !error;
  }

  // Returns false when the connection must be closed.
  asio::awaitable<bool> serve_one_request() {
    Parser parser;
    parser.header_limit(context_.limits.header_bytes);
    parser.body_limit(context_.limits.body_bytes);
    begin_request();
    std::optional<Error> refusal;
    const error_code error = co_await read_request(parser, refusal);
    if (error && !refusal) refusal = explain(error, context_);
    if (refusal) {
      parser.get().body() = std::string();  // freed before the refusal is sent, which may take long
      body_bytes_ = ByteHold();
      co_await refuse(*refusal);
    }
    if (refusal || error) co_return false;
    HttpRequest request = take_request(parser);
    co_await context_.handler(request, *this);
    end_watch();
    co_return keep_alive_&& is_open_;
  }

  void begin_request() {
    is_head_ = false;
    is_chunkable_ = true;
    keep_alive_ = false;
    request_id_ = context_.ids.make("req-");
    body_bytes_ = ByteHold(context_.bytes);
  }

  // `refusal` is set if the request is refused before its body is read.
  asio::awaitable<error_code> read_request(Parser& parser, std::optional<Error>& refusal) {
    stream_.expires_after(context_.limits.header_timeout);
    auto [header_error, n] = co_await http::async_read_header(stream_, buffer_, parser, kAwait);
    if (header_error) co_return header_error;
    const auto& head = parser.get();
    const auto& client_id = head["X-Request-Id"];
    if (is_usable_id({client_id.data(), client_id.size()})) request_id_ = std::string(client_id);
    // A proxy in front of the server could interpret any other transfer encoding differently.
    if (head.count(http::field::transfer_encoding) > 0 && !parser.chunked())
      co_return http::make_error_code(http::error::bad_transfer_encoding);
    is_head_ = head.method() == http::verb::head;
    if (const Status good = check_head(head_of(head), context_.is_guarded); !good) {
      refusal = good.error();
      co_return error_code();
    }
    stream_.expires_after(context_.limits.body_timeout);
    if (beast::iequals(head[http::field::expect], "100-continue")) {
      const std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      const auto [error, written] =
          co_await asio::async_write(stream_, asio::buffer(go_on), kAwait);
      if (error) co_return error;
    }
    co_return co_await read_body(parser);
  }

  // The body's bytes are reserved from the budget as they arrive, not by the announced length.
  asio::awaitable<error_code> read_body(Parser& parser) {
    parser.eager(true);
    while (!parser.is_done()) {
      const auto [error, n] = co_await http::async_read_some(stream_, buffer_, parser, kAwait);
      if (error) co_return error;
      const size_t n_new = parser.get().body().size() - body_bytes_.n_bytes();
      if (context_.bytes && !body_bytes_.grow(n_new)) co_return http::make_error_code(kNoRoom);
    }
    co_return error_code();
  }

  HttpRequest take_request(Parser& parser) {
    auto message = parser.release();
    is_chunkable_ = message.version() >= 11;
    keep_alive_ = message.keep_alive() && !context_.draining();
    const std::string target(message.target());
    return {.method = is_head_ ? "GET" : std::string(message.method_string()),
            .path = target.substr(0, target.find('?')),
            .body = std::move(message.body()),
            .request_id = request_id_,
            .body_bytes = std::move(body_bytes_)};
  }

  // Answers a request that could not be read. The client may still be sending, so the session waits
  // kLinger before it closes: otherwise the unread bytes would make the kernel reset the connection
  // before the client has read the answer.
  asio::awaitable<void> refuse(const Error& error) {
    HttpResponse response = error_response(error);
    const bool sent = co_await send(std::move(response));
    if (!sent) co_return;
    error_code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    stream_.expires_after(kLinger);
    for (size_t n_left = 4 * context_.limits.body_bytes; n_left > 0;) {
      buffer_.clear();
      const auto [failed, n] =
          co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
      if (failed) break;
      n_left -= std::min(n, n_left);
    }
  }

  template <class Body>
  http::response<Body> head(int status) {
    http::response<Body> message{static_cast<http::status>(status), is_chunkable_ ? 11u : 10u};
    message.set(http::field::server, std::string("lockstep/") + kVersion);
    message.set("X-Request-Id", request_id_);
    message.keep_alive(keep_alive_);
    context_.probes.http_response(status);
    return message;
  }

  bool answered(bool ok) {
    is_open_ = is_open_ && ok;
    return ok;
  }

  void wait_readable() {
    auto on_readable = [self = shared_from_this(), watch = n_watches_](error_code error) {
      if (!error && watch == self->n_watches_) self->read_ahead();
    };
    stream_.socket().async_wait(asio::ip::tcp::socket::wait_read, std::move(on_readable));
  }

  void read_ahead() {
    error_code error;
    const size_t n = stream_.socket().read_some(buffer_.prepare(kReadBytes), error);
    buffer_.commit(n);
    const bool is_closed = error && error != asio::error::would_block;
    if (is_closed || buffer_.size() >= kMaxPipelinedBytes) return peer_is_gone();
    wait_readable();
  }

  // Also called for a peer that sends more than kMaxPipelinedBytes, because unread bytes would hide
  // its disconnection.
  void peer_is_gone() {
    is_open_ = false;
    stream_.close();
    on_gone_();
  }

  void end_watch() {
    if (!on_gone_) return;
    ++n_watches_;
    on_gone_ = nullptr;
    error_code ignored;
    stream_.socket().cancel(ignored);
  }

  const HttpContext& context_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  bool idle_ = false;
  bool is_first_ = true;
  bool is_open_ = true;
  // state of the present request
  std::string request_id_;
  ByteHold body_bytes_;
  bool is_head_ = false;
  bool is_chunkable_ = true;
  bool keep_alive_ = false;
  std::function<void()> on_gone_;
  uint64_t n_watches_ = 0;  // distinguishes a cancelled wait from the present one
};

}  // namespace

std::shared_ptr<HttpSession> make_http_session(asio::ip::tcp::socket socket,
                                               const HttpContext& context) {
  return std::make_shared<Session>(std::move(socket), context);
}

}  // namespace lockstep
