#include "common/service/http/response_head.h"

#include <array>
#include <boost/beast/http/status.hpp>
#include <charconv>
#include <string_view>

namespace lockstep {
namespace {

void append(std::string_view name, std::string_view value, std::string& out) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

void append(const HttpHeaders& headers, std::string& out) {
  for (const auto& [name, value] : headers) append(name, value, out);
}

}  // namespace

std::string response_head(const HttpResponse& response, const ResponseForm& form) {
  namespace http = boost::beast::http;
  const auto reason =
      http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status)));
  std::string out = form.is_http_11 ? "HTTP/1.1 " : "HTTP/1.0 ";
  out += std::to_string(response.status);
  out += ' ';
  out.append(reason.data(), reason.size());
  out += "\r\n";
  append(response.first_headers, out);
  // Only what differs from the version's default is said.
  if (form.is_http_11 != form.keep_alive) {
    append("Connection", form.keep_alive ? "keep-alive" : "close", out);
  }
  append("Content-Type", response.content_type, out);
  append(response.headers, out);
  if (form.body_end == BodyEnd::kContentLength) {
    append("Content-Length", std::to_string(response.body.size()), out);
  } else if (form.body_end == BodyEnd::kChunked) {
    append("Transfer-Encoding", "chunked", out);
  }
  out += "\r\n";
  return out;
}

std::string chunk_begin(size_t n_bytes) {
  std::array<char, 2 * sizeof n_bytes> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), n_bytes, 16).ptr;
  return std::string(digits.data(), end) + "\r\n";
}

}  // namespace lockstep
