#include "clients/cli/http_get.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "common/service/http/admin_http.h"

namespace lockstep {
namespace {

using boost::asio::ip::tcp;
using namespace std::chrono_literals;

// Listens, and accepts only what answer() is called for.
class RawServer {
 public:
  HostPort address() const { return {"127.0.0.1", acceptor_.local_endpoint().port()}; }
  // Reads one request, sends the bytes and closes.
  void answer(const std::string& bytes) {
    tcp::socket socket = acceptor_.accept();
    std::string request;
    boost::asio::read_until(socket, boost::asio::dynamic_buffer(request), "\r\n\r\n");
    boost::asio::write(socket, boost::asio::buffer(bytes));
  }

 private:
  boost::asio::io_context io_;
  tcp::acceptor acceptor_{io_, {boost::asio::ip::make_address("127.0.0.1"), 0}};
};

std::string error_of(const HostPort& address, const std::string& path,
                     std::chrono::milliseconds timeout = 10s) {
  const Result<std::string> body = wait_http_get(address, path, timeout);
  if (body) return "no error, but " + *body;
  const std::string url = "http://" + to_string(address) + path + ": ";
  EXPECT_TRUE(body.error().message.starts_with(url)) << body.error().message;
  return body.error().message.substr(url.size());
}

TEST(HttpGet, ReturnsTheBodyOfAPage) {
  const std::string text(1 << 20, 'x');
  AdminRoutes routes;
  routes["/page"] = [&] { return AdminResponse{200, "text/plain", text}; };
  const auto server = AdminHttp::start({"127.0.0.1", 0}, routes);
  ASSERT_TRUE(server);
  const Result<std::string> body = wait_http_get((*server)->address(), "/page", 10s);
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(*body, text);
  EXPECT_EQ(error_of((*server)->address(), "/other"), "HTTP 404: not found");
}

TEST(HttpGet, SaysWhyThereIsNoBody) {
  HostPort closed;
  {
    RawServer server;
    closed = server.address();
    EXPECT_EQ(error_of(server.address(), "/", 50ms), "Connection timed out");
  }
  EXPECT_EQ(error_of(closed, "/"), "Connection refused");
  for (const auto& [bytes, why] :
       {std::pair("hello\r\n\r\n", "the answer is not HTTP"),
        std::pair("HTTP/1.1 200 OK\r\n", "the answer is not HTTP"),
        std::pair("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "the answer is cut off")}) {
    RawServer server;
    std::thread answers([&, text = bytes] { server.answer(text); });
    EXPECT_EQ(error_of(server.address(), "/"), why);
    answers.join();
  }
}

}  // namespace
}  // namespace lockstep
