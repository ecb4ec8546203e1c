#include "clients/cli/http_get.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "common/log.h"

namespace lockstep {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = boost::asio::ip::tcp;

// One request and its response; each asynchronous step starts the next.
class Exchange {
 public:
  Exchange(boost::asio::io_context& context, const HostPort& address, const std::string& path)
      : resolver_(context), stream_(context), request_(http::verb::get, path, 11) {
    request_.set(http::field::host, to_string(address));
  }
  void start(const HostPort& address) {
    resolver_.async_resolve(address.host, std::to_string(address.port),
                            [this](error_code error, const tcp::resolver::results_type& found) {
                              if (!failed(error)) connect(found);
                            });
  }

  error_code error = boost::asio::error::timed_out;  // stays so if the exchange does not finish
  http::response<http::string_body> response;

 private:
  bool failed(error_code step) {
    if (step) error = step;
    return static_cast<bool>(step);
  }
  void connect(const tcp::resolver::results_type& found) {
    stream_.async_connect(found, [this](error_code step, const tcp::endpoint&) {
      if (!failed(step)) write();
    });
  }
  void write() {
    http::async_write(stream_, request_, [this](error_code step, size_t) {
      if (!failed(step)) read();
    });
  }
  void read() {
    http::async_read(stream_, buffer_, response, [this](error_code step, size_t) { error = step; });
  }

  tcp::resolver resolver_;
  beast::tcp_stream stream_;
  http::request<http::empty_body> request_;
  beast::flat_buffer buffer_;
};

}  // namespace

Result<std::string> wait_http_get(const HostPort& address, const std::string& path,
                                  std::chrono::milliseconds timeout) {
  boost::asio::io_context context;
  Exchange exchange(context, address, path);
  exchange.start(address);
  context.run_for(timeout);
  const std::string url = "http://" + to_string(address) + path;
  if (exchange.error) {
    return Error{ErrorCode::kInternal, str(url, ": ", exchange.error.message()), ""};
  }
  if (exchange.response.result_int() != 200) {
    return Error{ErrorCode::kInternal, str(url, ": HTTP ", exchange.response.result_int()), ""};
  }
  return std::move(exchange.response.body());
}

}  // namespace lockstep
