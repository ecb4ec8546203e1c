// Socket: RAII around one ZeroMQ ROUTER, DEALER or PUB. The library's exceptions end here: failures
// of the world come back as a Result. One frame per wire message, no empty delimiter; KV events are
// the exception. A socket is used by one thread at a time (its owner; ZmqLoop is one); a Context by
// any.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <zmq.hpp>

#include "common/result.h"
#include "wire/codec/codec.h"

namespace lockstep::wire {

// ZeroMQ's I/O thread. Must outlive every socket made of it.
class Context {
 public:
  Context() : context_(1) {}

 private:
  friend class Socket;
  zmq::context_t context_;
};

enum class SocketKind { kRouter, kDealer, kPublisher };

struct SocketOptions {
  // Messages queued for one peer, each way; when full, send() says kFull. bind() makes the way in
  // shorter (kMaxBoundQueue).
  int high_water_mark = 10000;
  // A longer frame costs its sender the connection (limits.h).
  int64_t max_frame_bytes = static_cast<int64_t>(kMaxFrameBytes);
  // ZMTP pings: a peer that is silent for the timeout is disconnected.
  std::chrono::milliseconds heartbeat_interval{500};
  std::chrono::milliseconds heartbeat_timeout{2000};
};

// Of a socket that binds: anybody may connect to it, and these times the number of peers is the
// memory that unread messages can take. Further ones wait at the sender. Not shorter, because a
// peer whose messages wait is not heard either, and loses its connection at heartbeat_timeout.
inline constexpr int kMaxBoundQueue = 256;

struct Incoming {
  std::string peer;  // ROUTER: who sent it; DEALER: empty
  std::string body;  // the first frame
  bool single_frame = true;
  std::string second;  // the frame after it, if there is one; further ones are dropped
};

enum class SendResult {
  kSent,
  kFull,         // the peer's queue is at its high-water mark, or (DEALER) nobody is connected
  kUnreachable,  // ROUTER: the peer is gone
};

class Socket {
 public:
  static Result<Socket> make(Context& context, SocketKind kind, const SocketOptions& options = {});

  // "tcp://127.0.0.1:0" takes a free port; endpoint() says which.
  Status bind(const std::string& endpoint);
  Status connect(const std::string& endpoint);
  const std::string& endpoint() const { return endpoint_; }

  // Neither ever blocks; nullopt when there is nothing to read. `peer` is ignored by a DEALER.
  Result<std::optional<Incoming>> receive();
  Result<SendResult> send(const std::string& peer, std::string_view body);
  // A message of several frames, at least one. A PUB takes everything, and drops it for subscribers
  // that do not keep up.
  Result<SendResult> send(const std::string& peer, std::span<const std::string_view> frames);
  // Waits until the socket can be read (or written); false when the time is up.
  Result<bool> wait_readable(std::chrono::milliseconds timeout);
  Result<bool> wait_writable(std::chrono::milliseconds timeout);

  // How long closing may take to deliver what was sent; 0 unless set.
  void set_linger(std::chrono::milliseconds linger);
  void* handle() { return socket_.handle(); }  // for zmq_poll

 private:
  Socket(zmq::socket_t socket, SocketKind kind) : socket_(std::move(socket)), kind_(kind) {}
  Result<bool> wait_for(short events, std::chrono::milliseconds timeout);

  zmq::socket_t socket_;
  SocketKind kind_;
  std::string endpoint_;
};

// True for endpoints that other machines cannot reach: loopback TCP, ipc, inproc.
bool is_local_endpoint(std::string_view endpoint);

}  // namespace lockstep::wire
