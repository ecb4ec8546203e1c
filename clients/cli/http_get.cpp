#include "clients/cli/http_get.h"

#include <boost/asio/ip/tcp.hpp>
#include <iterator>
#include <string_view>

#include "common/log.h"

namespace lockstep {
namespace {

// The body of a whole answer with status 200.
Result<std::string> body_of(const std::string& answer) {
  const size_t head_end = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || head_end == answer.npos)
    return Error{ErrorCode::kInternal, "the answer is not HTTP", ""};
  const std::string status = answer.substr(9, 3);
  std::string body = answer.substr(head_end + 4);
  if (status != "200") {
    const std::string reason = body.substr(0, body.find('\n'));
    return Error{ErrorCode::kInternal, str("HTTP ", status, reason.empty() ? "" : ": ", reason),
                 ""};
  }
  const std::string_view length = "\r\nContent-Length: ";
  const size_t found = answer.find(length);
  const bool is_cut_off =
      found < head_end && !std::string_view(answer)
                               .substr(found + length.size())
                               .starts_with(std::to_string(body.size()) + "\r\n");
  if (is_cut_off) return Error{ErrorCode::kInternal, "the answer is cut off", ""};
  return body;
}

// HTTP/1.0, where the server closes the connection behind the answer.
Result<std::string> get(const HostPort& address, const std::string& path,
                        std::chrono::milliseconds timeout) {
  boost::asio::ip::tcp::iostream stream;
  stream.expires_after(timeout);  // for all that follows
  stream.connect(address.host, std::to_string(address.port));
  stream << "GET " << path << " HTTP/1.0\r\nHost: " << to_string(address) << "\r\n\r\n"
         << std::flush;
  if (!stream) return Error{ErrorCode::kInternal, stream.error().message(), ""};
  const std::string answer(std::istreambuf_iterator<char>(stream), {});
  if (stream.error() != boost::asio::error::eof)
    return Error{ErrorCode::kInternal, stream.error().message(), ""};
  return body_of(answer);
}

}  // namespace

Result<std::string> wait_http_get(const HostPort& address, const std::string& path,
                                  std::chrono::milliseconds timeout) {
  Result<std::string> body = get(address, path, timeout);
  if (body) return body;
  return Error{ErrorCode::kInternal,
               str("http://", to_string(address), path, ": ", body.error().message), ""};
}

}  // namespace lockstep
