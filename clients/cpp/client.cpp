#include "clients/cpp/client.h"

#include <algorithm>
#include <random>

#include "common/log.h"
#include "wire/codec/codec.h"
#include "wire/codec/sendable.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

// How long a broken connection stays unnoticed while nothing arrives.
constexpr milliseconds kLookAtConnection{50};

std::string random_prefix() {
  std::random_device entropy;
  std::ostringstream out;
  out << "c" << std::hex << entropy() << entropy() << "-";
  return out.str();
}

Error too_late(const std::string& what) {
  return {ErrorCode::kDeadlineExceeded, "no answer in time: " + what, ""};
}

Error error_of(const wire::ErrorReply& reply) { return {reply.code, reply.message, reply.param}; }

// An error without a request_id: the peer could not decode the id of the message.
bool is_error_without_id(const wire::Message& message) {
  const auto* error = std::get_if<wire::ErrorReply>(&message);
  return error != nullptr && error->request_id.empty();
}

template <class T>
Result<T> expect(Result<wire::Message> answer) {
  if (!answer) return std::move(answer.error());
  if (auto* value = std::get_if<T>(&*answer)) return std::move(*value);
  if (const auto* error = std::get_if<wire::ErrorReply>(&*answer)) return error_of(*error);
  return Error{ErrorCode::kInternal, str("unexpected answer: ", wire::type_name(*answer)), ""};
}

wire::ClusterStatus cluster_of_one(const wire::Heartbeat& node, const std::string& endpoint) {
  wire::ClusterStatus status;
  status.request_id = node.request_id;
  status.nodes.push_back({endpoint, node.draining ? "draining" : "ready", "", "", node});
  status.n_requests_running = node.n_running;
  return status;
}

}  // namespace

ZmqClient::ZmqClient(std::unique_ptr<wire::Context> context, wire::Socket socket,
                     wire::Socket disconnects)
    : context_(std::move(context)),
      socket_(std::move(socket)),
      disconnects_(std::move(disconnects)),
      id_prefix_(random_prefix()) {}

Result<std::unique_ptr<ZmqClient>> ZmqClient::connect(const std::string& endpoint) {
  auto context = std::make_unique<wire::Context>();
  TRY(wire::Socket socket, wire::Socket::make(*context, wire::SocketKind::kDealer));
  TRY(wire::Socket disconnects, socket.watch_disconnects(*context));
  TRY([[maybe_unused]] const Ok connected, socket.connect(endpoint));
  return std::unique_ptr<ZmqClient>(
      new ZmqClient(std::move(context), std::move(socket), std::move(disconnects)));
}

std::string ZmqClient::new_request_id() { return str(id_prefix_, ++n_ids_); }

Status ZmqClient::send(const wire::Message& message, Clock::time_point deadline) {
  TRY([[maybe_unused]] const Ok sendable, wire::check_sendable(message));
  const std::string body = wire::encode(message);
  while (true) {
    TRY(const wire::SendResult sent, socket_.send("", body));
    if (sent == wire::SendResult::kSent) return Ok{};
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (left <= milliseconds{0}) return too_late("cannot reach " + socket_.endpoint());
    TRY([[maybe_unused]] const bool ready, socket_.wait_writable(left));
  }
}

Result<std::optional<wire::Message>> ZmqClient::receive(Clock::time_point deadline) {
  while (true) {
    TRY(std::optional<wire::Incoming> incoming, socket_.receive());
    if (incoming) {
      TRY(wire::Message message, wire::decode(incoming->body));
      return std::optional(std::move(message));
    }
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (has_broken_ || left <= milliseconds{0}) return std::optional<wire::Message>();
    TRY(const bool ready, socket_.wait_readable(std::min(left, kLookAtConnection)));
    has_broken_ = !ready && take_disconnects();  // then what arrived before is read first
  }
}

Status ZmqClient::wait_connected(Milliseconds timeout) {
  TRY(const bool is_connected, socket_.wait_writable(timeout));
  if (!is_connected) return too_late("cannot reach " + socket_.endpoint());
  return Ok{};
}

template <class Request>
Result<std::string> ZmqClient::begin(Request request, StreamHandlers handlers, OnEnd on_end,
                                     Milliseconds timeout) {
  if (request.request_id.empty()) request.request_id = new_request_id();
  const auto deadline = Clock::now() + timeout;
  if (streams_.contains(request.request_id)) {
    return Error{ErrorCode::kConflict, "request_id " + request.request_id + " is still running",
                 "request_id"};
  }
  forget_earlier_breaks();
  TRY([[maybe_unused]] const Ok sent, send(request, deadline));
  streams_.emplace(request.request_id, Stream{std::move(handlers), std::move(on_end), deadline});
  return request.request_id;
}

Result<std::string> ZmqClient::start(wire::Generate request, StreamHandlers handlers, OnEnd on_end,
                                     Milliseconds timeout) {
  return begin(std::move(request), std::move(handlers), std::move(on_end), timeout);
}

Result<wire::Done> ZmqClient::generate(wire::Generate request, const StreamHandlers& handlers,
                                       Milliseconds timeout) {
  return run(std::move(request), handlers, timeout);
}

Result<wire::Done> ZmqClient::attach(wire::Attach request, const StreamHandlers& handlers,
                                     Milliseconds timeout) {
  return run(std::move(request), handlers, timeout);
}

template <class Request>
Result<wire::Done> ZmqClient::run(Request request, const StreamHandlers& handlers,
                                  Milliseconds timeout) {
  std::optional<Result<wire::Done>> outcome;
  const OnEnd on_end = [&](const Result<wire::Done>& done) { outcome.emplace(done); };
  TRY(const std::string request_id, begin(std::move(request), handlers, on_end, timeout));
  while (!outcome) {
    const Status polled = poll(milliseconds{1000});
    if (polled || outcome) continue;
    try_cancel(request_id);
    streams_.erase(request_id);  // its on_end refers to variables of this function
    return polled.error();
  }
  return *outcome;
}

Status ZmqClient::poll(Milliseconds timeout) {
  auto until = Clock::now() + timeout;
  for (const auto& [id, stream] : streams_) until = std::min(until, stream.deadline);
  TRY(std::optional<wire::Message> message, receive(until));
  while (message) {
    dispatch(*message);
    if (Clock::now() >= until) break;     // bounds the loop if the peer never pauses
    TRY(message, receive(Clock::now()));  // takes messages that have arrived already
  }
  if (has_broken_) end_broken();
  expire();
  return Ok{};
}

void ZmqClient::dispatch(const wire::Message& message) {
  if (const auto* tokens = std::get_if<wire::Tokens>(&message)) return deliver(*tokens);
  if (const auto* batch = std::get_if<wire::TokensBatch>(&message)) {
    for (const wire::Tokens& item : batch->items) deliver(item);
  } else if (const auto* accepted = std::get_if<wire::Accepted>(&message)) {
    const auto stream = streams_.find(accepted->request_id);
    if (stream == streams_.end() || !stream->second.handlers.on_accepted) return;
    stream->second.handlers.on_accepted(*accepted);
  } else if (const auto* done = std::get_if<wire::Done>(&message)) {
    end(done->request_id, *done);
  } else if (const auto* error = std::get_if<wire::ErrorReply>(&message)) {
    fail(*error);
  }
}

void ZmqClient::deliver(const wire::Tokens& tokens) {
  const auto stream = streams_.find(tokens.request_id);
  if (stream == streams_.end() || !stream->second.handlers.on_tokens) return;
  stream->second.handlers.on_tokens(tokens);
}

// With one live stream, an error without an id can only be about that stream.
void ZmqClient::fail(const wire::ErrorReply& error) {
  if (!error.request_id.empty()) return end(error.request_id, error_of(error));
  if (streams_.size() == 1) return end(std::string(streams_.begin()->first), error_of(error));
  log(LogLevel::kWarning, "an error that names no request: " + error.message);
}

void ZmqClient::end(const std::string& request_id, const Result<wire::Done>& outcome) {
  const auto found = streams_.find(request_id);
  if (found == streams_.end()) return;
  const OnEnd on_end = std::move(found->second.on_end);
  streams_.erase(found);  // before on_end, which may start the next request
  if (on_end) on_end(outcome);
}

void ZmqClient::expire() {
  std::vector<std::string> late;
  for (const auto& [id, stream] : streams_) {
    if (stream.deadline <= Clock::now()) late.push_back(id);
  }
  for (const std::string& id : late) {
    try_cancel(id);
    end(id, too_late("request " + id));
  }
}

// Whether the connection broke since the last call.
bool ZmqClient::take_disconnects() {
  bool broke = false;
  for (auto event = disconnects_.receive(); event && *event; event = disconnects_.receive())
    broke = true;
  return broke;
}

// A connection that broke before the first of the live requests was sent carried none of them.
void ZmqClient::forget_earlier_breaks() {
  if (!streams_.empty()) return;
  take_disconnects();
  has_broken_ = false;
}

Error ZmqClient::end_broken() {
  has_broken_ = false;
  const Error broke{ErrorCode::kNoNodeReady, "the connection to " + socket_.endpoint() + " broke",
                    ""};
  std::vector<std::string> ids;
  ids.reserve(streams_.size());
  for (const auto& [id, stream] : streams_) ids.push_back(id);
  for (const std::string& id : ids) end(id, broke);
  return broke;
}

// Best effort: if the cancel cannot be sent now, the peer notices the closed connection later.
void ZmqClient::try_cancel(const std::string& request_id) {
  const Status cancelled = cancel(request_id);
  if (!cancelled) log(LogLevel::kDebug, cancelled.error().message);
}

Status ZmqClient::cancel(const std::string& request_id) {
  return send(wire::Cancel{request_id}, Clock::now() + milliseconds{100});
}

// Live streams are served while the call waits for its answer.
Result<wire::Message> ZmqClient::ask(const std::string& request_id, const wire::Message& question,
                                     Milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  forget_earlier_breaks();
  TRY([[maybe_unused]] const Ok sent, send(question, deadline));
  while (true) {
    TRY(std::optional<wire::Message> message, receive(deadline));
    if (!message && has_broken_) return end_broken();
    if (!message) return too_late(wire::type_name(question));
    if (request_id_of(*message) == request_id) return std::move(*message);
    if (is_error_without_id(*message) && streams_.empty()) return std::move(*message);
    dispatch(*message);
    if (Clock::now() >= deadline) return too_late(wire::type_name(question));
  }
}

Result<wire::ClusterStatus> ZmqClient::status(Milliseconds timeout) {
  const std::string id = new_request_id();
  Result<wire::Message> answer = ask(id, wire::StatusRequest{id}, timeout);
  if (answer) {
    if (const auto* node = std::get_if<wire::Heartbeat>(&*answer)) {
      return cluster_of_one(*node, socket_.endpoint());
    }
  }
  return expect<wire::ClusterStatus>(std::move(answer));
}

Result<wire::Models> ZmqClient::models(Milliseconds timeout) {
  const std::string id = new_request_id();
  return expect<wire::Models>(ask(id, wire::ModelsRequest{id}, timeout));
}

Result<wire::Tokenized> ZmqClient::tokenize(wire::Tokenize request, Milliseconds timeout) {
  if (request.request_id.empty()) request.request_id = new_request_id();
  return expect<wire::Tokenized>(ask(request.request_id, request, timeout));
}

Result<wire::Detokenized> ZmqClient::detokenize(wire::Detokenize request, Milliseconds timeout) {
  if (request.request_id.empty()) request.request_id = new_request_id();
  return expect<wire::Detokenized>(ask(request.request_id, request, timeout));
}

}  // namespace lockstep
