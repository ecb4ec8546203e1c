#include "coordinator/cluster/unreached_nodes.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/host_port.h"
#include "common/log.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

std::string error_text(int error) { return std::strerror(error); }

// Returns 0 when the connection succeeds, else an errno.
int try_connect(const addrinfo& address, milliseconds timeout) {
  const int fd = ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = ::connect(fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd waiting{fd, POLLOUT, 0};
    socklen_t length = sizeof error;
    if (::poll(&waiting, 1, static_cast<int>(timeout.count())) <= 0)
      error = ETIMEDOUT;
    else if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
      error = errno;
  }
  ::close(fd);
  return error;
}

}  // namespace

std::string why_unreached(const std::string& endpoint, milliseconds timeout) {
  constexpr std::string_view kTcp = "tcp://";
  const Result<HostPort> address = endpoint.starts_with(kTcp)
                                       ? parse_host_port(endpoint.substr(kTcp.size()))
                                       : Result<HostPort>(Error{});
  if (!address) return "nothing answers there";
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed =
      ::getaddrinfo(address->host.c_str(), std::to_string(address->port).c_str(), &hints, &found);
  if (failed != 0)
    return str("the name '", address->host, "' cannot be resolved: ",
               failed == EAI_SYSTEM ? error_text(errno) : std::string(gai_strerror(failed)));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  int error = 0;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    error = try_connect(*one, timeout);
    if (error == 0) return "its port is open, but no welcome has come from there";
  }
  return str("cannot connect: ", error_text(error));
}

UnreachedNodes::UnreachedNodes(size_t n_ticks, Explain explain, RunApart run_apart)
    : n_ticks_(n_ticks), explain_(std::move(explain)), run_apart_(std::move(run_apart)) {}

std::vector<std::string> UnreachedNodes::tick(const NodeList& nodes) {
  n_waited_.resize(nodes.size(), 0);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i]->state != NodeState::kConnecting) {
      n_waited_[i] = 0;
      continue;
    }
    if (++n_waited_[i] != n_ticks_) continue;
    run_apart_([lines = lines_, explain = explain_, endpoint = nodes[i]->endpoint] {
      std::string line = str("node ", endpoint, " is not reached: ", explain(endpoint));
      std::lock_guard lock(lines->mutex);
      lines->ready.push_back(std::move(line));
    });
  }
  std::lock_guard lock(lines_->mutex);
  return std::exchange(lines_->ready, {});
}

}  // namespace lockstep
