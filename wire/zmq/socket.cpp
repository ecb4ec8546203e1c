#include "wire/zmq/socket.h"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "common/host_port.h"

namespace lockstep::wire {
namespace {

Error zmq_failure(const std::string& what, int error) {
  return {ErrorCode::kInternal, what + ": " + zmq_strerror(error), ""};
}

void apply(zmq::socket_t& socket, SocketKind kind, const SocketOptions& options) {
  using namespace zmq::sockopt;  // NOLINT(google-build-using-namespace)
  socket.set(linger, 0);
  socket.set(ipv6, true);
  socket.set(immediate, !options.queue_unconnected);
  socket.set(maxmsgsize, options.max_frame_bytes);
  socket.set(sndhwm, options.high_water_mark);
  socket.set(rcvhwm, options.high_water_mark);
  // Without this limit, an attempt to connect to a dead host lasts until the kernel gives up, after
  // two minutes; only then is the name resolved again.
  socket.set(connect_timeout, 2000);
  socket.set(reconnect_ivl, 50);
  socket.set(reconnect_ivl_max, 2000);
  socket.set(heartbeat_ivl, static_cast<int>(options.heartbeat_interval.count()));
  socket.set(heartbeat_timeout, static_cast<int>(options.heartbeat_timeout.count()));
  socket.set(heartbeat_ttl, static_cast<int>(options.heartbeat_timeout.count()));
  if (kind == SocketKind::kRouter) socket.set(router_mandatory, true);
  if (kind == SocketKind::kSubscriber) socket.set(subscribe, "");
}

// The limit applies to endpoints that are bound afterwards.
void bound_queues(zmq::socket_t& socket) {
  using namespace zmq::sockopt;  // NOLINT(google-build-using-namespace)
  socket.set(rcvhwm, std::min(socket.get(rcvhwm), kMaxBoundQueue));
}

zmq::socket_type type_of(SocketKind kind) {
  switch (kind) {
    case SocketKind::kRouter:
      return zmq::socket_type::router;
    case SocketKind::kPublisher:
      return zmq::socket_type::pub;
    case SocketKind::kSubscriber:
      return zmq::socket_type::sub;
    case SocketKind::kMonitor:
      return zmq::socket_type::pair;
    default:
      return zmq::socket_type::dealer;
  }
}

bool is_again(int error) { return error == EAGAIN || error == EINTR; }

}  // namespace

Result<Socket> Socket::make(Context& context, SocketKind kind, const SocketOptions& options) {
  try {
    zmq::socket_t socket(context.context_, type_of(kind));
    apply(socket, kind, options);
    return Socket(std::move(socket), kind);
  } catch (const zmq::error_t& e) {
    return zmq_failure("cannot make a ZeroMQ socket", e.num());
  }
}

Status Socket::bind(const std::string& endpoint) {
  try {
    bound_queues(socket_);
    // With IPv6 enabled, endpoint() would show a bound IPv4 address as [::ffff:127.0.0.1].
    socket_.set(zmq::sockopt::ipv6, endpoint.find('[') != std::string::npos);
    socket_.bind(endpoint);
    endpoint_ = socket_.get(zmq::sockopt::last_endpoint);
    return Ok{};
  } catch (const zmq::error_t& e) {
    return zmq_failure("cannot listen on " + endpoint, e.num());
  }
}

Status Socket::connect(const std::string& endpoint) {
  try {
    socket_.connect(endpoint);
    endpoint_ = endpoint;
    return Ok{};
  } catch (const zmq::error_t& e) {
    return zmq_failure("cannot connect to " + endpoint, e.num());
  }
}

Result<std::optional<Incoming>> Socket::receive() {
  try {
    zmq::message_t frame;
    if (!socket_.recv(frame, zmq::recv_flags::dontwait)) return std::optional<Incoming>();
    Incoming incoming;
    if (kind_ == SocketKind::kRouter) {
      incoming.peer = frame.to_string();
      if (!frame.more() || !socket_.recv(frame, zmq::recv_flags::none)) {
        incoming.single_frame = false;
        return std::optional(std::move(incoming));
      }
    }
    incoming.body = frame.to_string();
    while (frame.more()) {  // frames of one message arrive together: this does not block
      if (!socket_.recv(frame, zmq::recv_flags::none)) break;
      incoming.single_frame = false;
      if (incoming.others.size() + 1 < kMaxFrames) incoming.others.push_back(frame.to_string());
    }
    return std::optional(std::move(incoming));
  } catch (const zmq::error_t& e) {
    if (is_again(e.num())) return std::optional<Incoming>();
    return zmq_failure("cannot receive", e.num());
  }
}

Result<SendResult> Socket::send(const std::string& peer, std::string_view body) {
  return send(peer, {&body, 1});
}

Result<SendResult> Socket::send(const std::string& peer, std::span<const std::string_view> frames) {
  try {
    if (kind_ == SocketKind::kRouter) {
      const auto flags = zmq::send_flags::dontwait | zmq::send_flags::sndmore;
      if (!socket_.send(zmq::const_buffer(peer.data(), peer.size()), flags)) {
        return SendResult::kFull;
      }
    }
    // A ROUTER that has accepted the address accepts the other frames too, and so does a DEALER
    // that has accepted the first frame.
    for (const std::string_view& frame : frames) {
      const bool is_last = &frame == &frames.back();
      const auto more = is_last ? zmq::send_flags::none : zmq::send_flags::sndmore;
      if (!socket_.send(zmq::const_buffer(frame.data(), frame.size()),
                        zmq::send_flags::dontwait | more)) {
        return SendResult::kFull;
      }
    }
    return SendResult::kSent;
  } catch (const zmq::error_t& e) {
    if (e.num() == EHOSTUNREACH) return SendResult::kUnreachable;
    if (is_again(e.num())) return SendResult::kFull;
    return zmq_failure("cannot send", e.num());
  }
}

Result<bool> Socket::wait_for(short events, std::chrono::milliseconds timeout) {
  zmq_pollitem_t item{socket_.handle(), 0, events, 0};
  const int n = zmq_poll(&item, 1, std::max<int64_t>(0, timeout.count()));
  if (n < 0 && zmq_errno() != EINTR) return zmq_failure("cannot wait", zmq_errno());
  return n > 0;
}

Result<bool> Socket::wait_readable(std::chrono::milliseconds timeout) {
  return wait_for(ZMQ_POLLIN, timeout);
}
Result<bool> Socket::wait_writable(std::chrono::milliseconds timeout) {
  return wait_for(ZMQ_POLLOUT, timeout);
}

Result<Socket> Socket::watch_disconnects(Context& context) {
  static std::atomic<uint64_t> n_monitors{0};
  const std::string address = "inproc://disconnects-" + std::to_string(n_monitors++);
  if (zmq_socket_monitor(socket_.handle(), address.c_str(), ZMQ_EVENT_DISCONNECTED) != 0)
    return zmq_failure("cannot watch the connections of a ZeroMQ socket", zmq_errno());
  TRY(Socket monitor, make(context, SocketKind::kMonitor));
  TRY([[maybe_unused]] const Ok connected, monitor.connect(address));
  return monitor;
}

void Socket::set_linger(std::chrono::milliseconds linger) {
  socket_.set(zmq::sockopt::linger, static_cast<int>(linger.count()));
}

bool is_local_endpoint(std::string_view endpoint) {
  if (endpoint.starts_with("ipc://") || endpoint.starts_with("inproc://")) return true;
  if (!endpoint.starts_with("tcp://")) return false;
  const Result<HostPort> address = parse_host_port(endpoint.substr(6));
  return address && is_loopback_host(address->host);
}

}  // namespace lockstep::wire
