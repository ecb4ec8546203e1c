// Socket: owns one ZeroMQ ROUTER, DEALER, PUB or SUB socket. The library's exceptions are caught
// here, and failures are returned as a Result. A wire message is one frame without an empty
// delimiter; only KV events have several frames. One thread at a time uses a Socket: its owner, for
// example a ZmqLoop. Any thread may use a Context.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <zmq.hpp>

#include "common/result.h"
#include "wire/limits.h"

namespace lockstep::wire {

// Context: owns the background thread of the ZeroMQ library. It must outlive every socket that is
// made from it.
class Context {
 public:
  Context() : context_(1) {}

 private:
  friend class Socket;
  zmq::context_t context_;
};

// kSubscriber: receives every topic. kMonitor: receives the events of another socket
// (Socket::watch_disconnects).
enum class SocketKind { kRouter, kDealer, kPublisher, kSubscriber, kMonitor };

struct SocketOptions {
  // Maximum of messages queued per peer, in each direction. When the queue is full, send() returns
  // kFull. bind() shortens the incoming queue to kMaxBoundQueue.
  int high_water_mark = 10000;
  // ZeroMQ closes the connection of a peer that sends a longer frame (limits.h).
  int64_t max_frame_bytes = static_cast<int64_t>(kMaxFrameBytes);
  // ZMTP pings: a peer that is silent for `heartbeat_timeout` is disconnected.
  std::chrono::milliseconds heartbeat_interval{500};
  std::chrono::milliseconds heartbeat_timeout{2000};
  // A DEALER that connects takes messages before it has a connection, and sends them once it has.
  bool queue_unconnected = false;
};

// Maximum of incoming messages queued per peer at a socket that binds. Any peer may connect to such
// a socket, and unread messages can take this many messages of memory per peer. Further messages
// wait at the sender. The queue must not be shorter: while it is full, ZeroMQ does not read the
// peer's pings either, and the peer is disconnected after heartbeat_timeout.
inline constexpr int kMaxBoundQueue = 256;

struct Incoming {
  std::string peer;  // ROUTER: the sender's routing id; DEALER: empty
  std::string body;  // the first frame
  bool single_frame = true;
  std::vector<std::string> others;  // the other frames, up to kMaxFrames in all; more are dropped

  std::string_view second() const { return others.empty() ? std::string_view() : others.front(); }
};
// One more than any message of the protocol has, so that a reader notices a message with more.
inline constexpr size_t kMaxFrames = 5;

enum class SendResult {
  kSent,
  kFull,         // the peer's queue is at its high-water mark, or a DEALER has no connection
  kUnreachable,  // ROUTER: the peer is disconnected
};

class Socket {
 public:
  static Result<Socket> make(Context& context, SocketKind kind, const SocketOptions& options = {});

  // "tcp://127.0.0.1:0" takes a free port; endpoint() then has the port in use.
  Status bind(const std::string& endpoint);
  Status connect(const std::string& endpoint);
  const std::string& endpoint() const { return endpoint_; }

  // receive() and send() never block. receive() returns nullopt when there is nothing to read. A
  // DEALER ignores `peer`.
  Result<std::optional<Incoming>> receive();
  Result<SendResult> send(const std::string& peer, std::string_view body);
  // Sends a message of at least one frame. A PUB accepts every message, and drops it for
  // subscribers whose queue is full.
  Result<SendResult> send(const std::string& peer, std::span<const std::string_view> frames);
  // Waits until the socket can be read (or written); returns false after `timeout`.
  Result<bool> wait_readable(std::chrono::milliseconds timeout);
  Result<bool> wait_writable(std::chrono::milliseconds timeout);

  // Returns a socket that receives one message each time a connection of this socket breaks: the
  // peer's process ended, the network cut it, or the peer's pings stayed out for heartbeat_timeout.
  // The contents of the message say nothing more. To be called at most once.
  Result<Socket> watch_disconnects(Context& context);

  // Maximum time that closing takes to deliver queued messages; 0 unless set.
  void set_linger(std::chrono::milliseconds linger);
  void* handle() { return socket_.handle(); }  // for zmq_poll

 private:
  Socket(zmq::socket_t socket, SocketKind kind) : socket_(std::move(socket)), kind_(kind) {}
  Result<bool> wait_for(short events, std::chrono::milliseconds timeout);

  zmq::socket_t socket_;
  SocketKind kind_;
  std::string endpoint_;
};

// Returns true for endpoints that other machines cannot reach: loopback TCP, ipc, inproc.
bool is_local_endpoint(std::string_view endpoint);

}  // namespace lockstep::wire
