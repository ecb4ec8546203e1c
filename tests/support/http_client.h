// HttpClient: one blocking HTTP connection for tests. It gives access to the socket, so that tests
// can violate the protocol. Reads fail after kTimeout. One thread at a time.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <map>
#include <string>

namespace lockstep::testing {

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
};

class HttpClient {
 public:
  explicit HttpClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval timeout{kTimeoutSeconds, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~HttpClient() { close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // Returns false once the server no longer reads.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void post(const std::string& path, const std::string& body, const std::string& headers = "") {
    send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
         headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  void request(const std::string& method, const std::string& path) {
    send(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }

  HttpAnswer get(const std::string& path) {
    request("GET", path);
    return read_answer();
  }
  HttpAnswer post_and_read(const std::string& path, const std::string& body,
                           const std::string& headers = "") {
    post(path, body, headers);
    return read_answer();
  }

  // Returns status 0 if the connection ended without an answer.
  HttpAnswer read_answer(bool has_body = true) {
    HttpAnswer answer = read_head();
    if (!has_body || answer.status == 0) return answer;
    if (answer.headers.count("transfer-encoding") > 0) {
      while (read_chunk(answer.body)) {
      }
    } else if (answer.headers.count("content-length") > 0) {
      answer.body = take(std::stoul(answer.headers["content-length"]));
    } else {
      answer.body = read_to_end();
    }
    return answer;
  }
  HttpAnswer read_head() {
    HttpAnswer answer;
    const std::string line = take_line();
    if (line.rfind("HTTP/1.", 0) != 0) return answer;
    answer.status = std::stoi(line.substr(9));
    for (std::string field = take_line(); !field.empty(); field = take_line()) {
      const size_t colon = field.find(':');
      std::string name = field.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      answer.headers[name] = field.substr(field.find_first_not_of(' ', colon + 1));
    }
    return answer;
  }
  // Appends one chunk; returns false after the last chunk.
  bool read_chunk(std::string& out) {
    const std::string size_line = take_line();
    if (size_line.empty()) return false;
    const size_t size = std::stoul(size_line, nullptr, 16);
    out += take(size);
    take_line();
    return size > 0;
  }
  std::string read_to_end() {
    while (fill()) {
    }
    return std::exchange(buffer_, "");
  }
  // Returns true if for this long nothing arrives and the connection stays open.
  bool is_silent(std::chrono::milliseconds time) {
    pollfd wanted{fd_, POLLIN, 0};
    return buffer_.empty() && poll(&wanted, 1, static_cast<int>(time.count())) == 0;
  }
  // Returns true if the server closes the connection without sending anything more.
  bool at_end() { return buffer_.empty() && !fill(); }

 private:
  static constexpr int kTimeoutSeconds = 20;

  bool fill() {
    char bytes[4096];
    const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(n));
    return true;
  }
  std::string take(size_t n) {
    while (buffer_.size() < n && fill()) {
    }
    std::string out = buffer_.substr(0, n);
    buffer_.erase(0, n);
    return out;
  }
  std::string take_line() {
    size_t end = buffer_.find("\r\n");
    while (end == std::string::npos && fill()) end = buffer_.find("\r\n");
    if (end == std::string::npos) return "";
    std::string line = take(end);
    take(2);
    return line;
  }

  int fd_;
  std::string buffer_;
};

}  // namespace lockstep::testing
