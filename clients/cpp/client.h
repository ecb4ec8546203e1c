// ZmqClient: a client of a coordinator, or of one node, over ZeroMQ. Every call has a deadline. One
// thread at a time; callbacks run on the calling thread, inside the call.
//
//   TRY(auto client, ZmqClient::connect("tcp://127.0.0.1:5555"));
//   wire::Generate request;
//   request.model = "SmolLM2";
//   request.prompt_text = "The capital of France is";
//   TRY(auto done, client->generate(request, {.on_tokens = [](const wire::Tokens& t) {
//     std::cout << t.text;
//   }}, 60s));
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/result.h"
#include "wire/messages.h"
#include "wire/zmq/socket.h"

namespace lockstep {

// Each handler may be empty.
struct StreamHandlers {
  std::function<void(const wire::Accepted&)> on_accepted;
  std::function<void(const wire::Tokens&)> on_tokens;
};

class ZmqClient {
 public:
  using Milliseconds = std::chrono::milliseconds;
  using OnEnd = std::function<void(const Result<wire::Done>&)>;

  // Returns before the connection is made; the first call waits for it.
  static Result<std::unique_ptr<ZmqClient>> connect(const std::string& endpoint);

  // Runs one request until its final message. After `timeout` the request is cancelled and the
  // result is kDeadlineExceeded. An empty request_id is replaced by a generated one.
  Result<wire::Done> generate(wire::Generate request, const StreamHandlers& handlers,
                              Milliseconds timeout);

  // Goes on with a request that another coordinator began, as generate().
  Result<wire::Done> attach(wire::Attach request, const StreamHandlers& handlers,
                            Milliseconds timeout);

  // Starts a request and returns its request_id. To run several requests at once, start() each and
  // call poll() until n_live() is 0. on_end is called exactly once per request.
  Result<std::string> start(wire::Generate request, StreamHandlers handlers, OnEnd on_end,
                            Milliseconds timeout);
  // Waits until the connection is made; kDeadlineExceeded after `timeout`.
  Status wait_connected(Milliseconds timeout);
  // Waits at most `timeout` for messages, handles all that have arrived, and ends the requests
  // whose deadline has passed. If the connection broke, all requests end with kNoNodeReady: the
  // server cancels them.
  Status poll(Milliseconds timeout);
  size_t n_live() const { return streams_.size(); }

  // Cancels a request. The request still gets its final message: done with reason "cancelled", or
  // an error.
  Status cancel(const std::string& request_id);

  // A node answers for itself, as a cluster of one node.
  Result<wire::ClusterStatus> status(Milliseconds timeout);
  Result<wire::Models> models(Milliseconds timeout);
  Result<wire::Tokenized> tokenize(wire::Tokenize request, Milliseconds timeout);
  Result<wire::Detokenized> detokenize(wire::Detokenize request, Milliseconds timeout);

 private:
  using Clock = std::chrono::steady_clock;
  struct Stream {
    StreamHandlers handlers;
    OnEnd on_end;
    Clock::time_point deadline;
  };

  ZmqClient(std::unique_ptr<wire::Context> context, wire::Socket socket, wire::Socket disconnects);
  template <class Request>
  Result<std::string> begin(Request request, StreamHandlers handlers, OnEnd on_end,
                            Milliseconds timeout);
  template <class Request>
  Result<wire::Done> run(Request request, const StreamHandlers& handlers, Milliseconds timeout);
  std::string new_request_id();
  Status send(const wire::Message& message, Clock::time_point deadline);
  Result<wire::Message> ask(const std::string& request_id, const wire::Message& question,
                            Milliseconds timeout);
  // Returns the next message, or nullopt at the deadline or when the connection broke.
  Result<std::optional<wire::Message>> receive(Clock::time_point deadline);
  void dispatch(const wire::Message& message);
  void deliver(const wire::Tokens& tokens);
  void fail(const wire::ErrorReply& error);
  void end(const std::string& request_id, const Result<wire::Done>& outcome);
  void expire();
  bool take_disconnects();
  void forget_earlier_breaks();
  Error end_broken();
  void try_cancel(const std::string& request_id);

  std::unique_ptr<wire::Context> context_;  // outlives the sockets
  wire::Socket socket_;
  wire::Socket disconnects_;               // a message for each time that the connection broke
  bool has_broken_ = false;                // the connection that carried streams_
  std::map<std::string, Stream> streams_;  // by request_id
  const std::string id_prefix_;            // random, so that two clients' ids differ in logs
  uint64_t n_ids_ = 0;
};

}  // namespace lockstep
