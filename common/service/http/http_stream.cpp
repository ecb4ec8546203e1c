#include "common/service/http/http_stream.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <utility>

#include "common/log.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;
using tcp = asio::ip::tcp;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 16u << 10;

std::string_view view(const beast::string_view& text) { return {text.data(), text.size()}; }

HttpRequestHead head_of(const Parser& parser) {
  using http::field;
  const auto& head = parser.get();
  const bool has_coding = head.count(field::transfer_encoding) > 0;
  const std::string_view length = view(head[field::content_length]);
  return {.guarded = {.method = view(head.method_string()),
                      .n_hosts = static_cast<int>(head.count(field::host)),
                      .host = view(head[field::host]),
                      .origin = view(head[field::origin]),
                      .content_type = view(head[field::content_type]),
                      .has_body = has_coding || (!length.empty() && length != "0")},
          .target = view(head.target()),
          .request_id = view(head["X-Request-Id"]),
          .resume_token = view(head["X-Resume-Token"]),
          .last_event_id = view(head["Last-Event-ID"]),
          .session_id = view(head["X-Session-ID"]),
          .route_receipt = view(head["X-Route-Receipt"]),
          .is_http_11 = head.version() >= 11,
          .keep_alive = head.keep_alive(),
          .expects_continue = beast::iequals(head[field::expect], "100-continue"),
          .has_other_coding = has_coding && !parser.chunked()};
}

Result<bool> outcome(const error_code& error, const HttpLimits& limits) {
  if (!error) return true;
  if (error == http::error::body_limit)
    return Error{ErrorCode::kPayloadTooLarge,
                 str("the body is larger than ", limits.body_bytes, " bytes"), ""};
  if (error == http::error::header_limit)
    return Error{ErrorCode::kInvalidRequest,
                 str("the headers are larger than ", limits.header_bytes, " bytes"), ""};
  if (error == http::error::end_of_stream || error == http::error::partial_message) return false;
  static const auto& http_errors = http::make_error_code(http::error::bad_version).category();
  if (error.category() == http_errors)
    return Error{ErrorCode::kInvalidRequest, "malformed HTTP: " + error.message(), ""};
  return false;
}

}  // namespace

struct HttpStream::Impl {
  Impl(tcp::socket socket, const HttpLimits& l)
      : limits(l), stream(std::move(socket)), buffer(l.unparsed_bytes) {}

  asio::mutable_buffer free_room() {
    return buffer.prepare(std::min(kReadBytes, buffer.max_size() - buffer.size()));
  }

  asio::awaitable<error_code> fill() {
    const asio::mutable_buffer room = free_room();
    if (room.size() == 0) co_return http::make_error_code(http::error::buffer_overflow);
    const auto [error, n] = co_await stream.async_read_some(room, kAwait);
    buffer.commit(n);
    co_return error;
  }

  // Advances the parser as http::async_read_some() does: over bytes that were received before, or
  // over those of one or more reads.
  asio::awaitable<error_code> parse_some() {
    while (true) {
      error_code error;
      if (buffer.size() > 0) {
        buffer.consume(parser->put(buffer.data(), error));
        if (error != http::error::need_more) co_return error;
      }
      error = co_await fill();
      if (error == asio::error::eof) {
        if (!parser->got_some()) co_return http::make_error_code(http::error::end_of_stream);
        parser->put_eof(error);
        co_return error;
      }
      if (error) co_return error;
    }
  }

  void wait_readable(const std::shared_ptr<void>& owner) {
    auto on_readable = [this, owner, watch = n_watches](error_code error) {
      if (!error && watch == n_watches) read_ahead(owner);
    };
    stream.socket().async_wait(tcp::socket::wait_read, std::move(on_readable));
  }

  void read_ahead(const std::shared_ptr<void>& owner) {
    error_code error;
    const size_t n = stream.socket().read_some(free_room(), error);
    buffer.commit(n);
    const bool is_closed = error && error != asio::error::would_block;
    if (!is_closed && buffer.size() < buffer.max_size()) return wait_readable(owner);
    stream.close();
    on_gone();
  }

  const HttpLimits& limits;
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  // the present request
  std::optional<Parser> parser;
  HttpRequestHead head;
  std::function<void()> on_gone;  // empty: not watched
  uint64_t n_watches = 0;         // distinguishes a cancelled wait from the present one
};

HttpStream::HttpStream(tcp::socket socket, const HttpLimits& limits)
    : impl_(std::make_unique<Impl>(std::move(socket), limits)) {}

HttpStream::~HttpStream() = default;

asio::any_io_executor HttpStream::executor() { return impl_->stream.get_executor(); }

void HttpStream::set_deadline(Clock::time_point deadline) { impl_->stream.expires_at(deadline); }

void HttpStream::close() { impl_->stream.close(); }

bool HttpStream::has_input() const { return impl_->buffer.size() > 0; }

asio::awaitable<bool> HttpStream::wait_input() {
  const error_code error = co_await impl_->fill();
  co_return !error;
}

asio::awaitable<Result<bool>> HttpStream::read_head() {
  Parser& parser = impl_->parser.emplace();
  parser.header_limit(impl_->limits.header_bytes);
  parser.body_limit(impl_->limits.body_bytes);
  error_code error;
  while (!error && !parser.is_header_done()) error = co_await impl_->parse_some();
  if (!error) impl_->head = head_of(parser);
  parser.eager(true);  // for the body
  co_return outcome(error, impl_->limits);
}

asio::awaitable<Result<bool>> HttpStream::read_body_part() {
  const error_code error = co_await impl_->parse_some();
  co_return outcome(error, impl_->limits);
}

const HttpRequestHead& HttpStream::head() const { return impl_->head; }
bool HttpStream::has_whole_body() const { return impl_->parser->is_done(); }
size_t HttpStream::n_body_bytes() const { return impl_->parser->get().body().size(); }
std::string HttpStream::take_body() { return std::exchange(impl_->parser->get().body(), {}); }

asio::awaitable<bool> HttpStream::write(std::string_view first, std::string_view second,
                                        std::string_view third) {
  const std::array<asio::const_buffer, 3> parts = {asio::buffer(first), asio::buffer(second),
                                                   asio::buffer(third)};
  const auto [error, n] = co_await asio::async_write(impl_->stream, parts, kAwait);
  co_return !error;
}

asio::awaitable<void> HttpStream::drop_input(size_t n_bytes) {
  error_code error;
  impl_->stream.socket().shutdown(tcp::socket::shutdown_send, error);
  for (error = {}; !error && n_bytes > 0; n_bytes -= std::min(n_bytes, impl_->buffer.size())) {
    impl_->buffer.clear();
    error = co_await impl_->fill();
  }
}

void HttpStream::watch(const std::shared_ptr<void>& owner, std::function<void()> on_gone) {
  impl_->on_gone = std::move(on_gone);
  impl_->stream.socket().non_blocking(true);
  impl_->wait_readable(owner);
}

void HttpStream::end_watch() {
  if (!impl_->on_gone) return;
  ++impl_->n_watches;
  impl_->on_gone = nullptr;
  error_code ignored;
  impl_->stream.socket().cancel(ignored);
}

}  // namespace lockstep
