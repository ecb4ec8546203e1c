#include "coordinator/generate_handler.h"

#include <charconv>
#include <optional>
#include <utility>

#include "coordinator/http_error.h"
#include "coordinator/sse.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using News = ReplyQueue::News;

// The request_id of a prompt is its index.
size_t prompt_index(const std::string& request_id) {
  size_t index = 0;
  std::from_chars(request_id.data(), request_id.data() + request_id.size(), index);
  return index;
}

HttpHeaders seed_header(uint64_t seed) { return {{"X-Lockstep-Seed", std::to_string(seed)}}; }

// A stream's state between two waits.
struct Stream {
  StreamedAnswer answer;
  size_t n_unaccepted;  // prompts that no node has accepted yet; the 200 waits for them
  uint64_t seed = 0;
  std::string text;  // events to send
  std::optional<Error> error;

  void take(const wire::Message& message) {
    std::vector<std::string> chunks;
    if (const auto* accepted = std::get_if<wire::Accepted>(&message)) {
      answer.accepted(prompt_index(accepted->request_id), *accepted, chunks);
      seed = accepted->seed;
      --n_unaccepted;
    } else if (const auto* tokens = std::get_if<wire::Tokens>(&message)) {
      answer.tokens(prompt_index(tokens->request_id), *tokens, chunks);
    } else if (const auto* done = std::get_if<wire::Done>(&message)) {
      answer.done(*done);
      if (answer.complete()) answer.finish(chunks);
    } else if (const auto* failed = std::get_if<wire::ErrorReply>(&message)) {
      if (!error) error = Error{failed->code, failed->message, failed->param};
    }
    if (error) return;
    for (const std::string& chunk : chunks) sse::append_event(chunk, text);
  }
  bool over() const { return error || answer.complete(); }
};

}  // namespace

AnswerHeader GenerateHandler::header(OpenAiEndpoint endpoint) {
  const bool is_chat = endpoint == OpenAiEndpoint::kChatCompletions;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {.id = ids_.make(is_chat ? "chatcmpl-" : "cmpl-"),
          .created = std::chrono::duration_cast<std::chrono::seconds>(now).count()};
}

bool GenerateHandler::submit(const OpenAiRequest& request, const std::string& client_key,
                             const Queue& queue) {
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    wire::Generate prompt = request.prompts[i];
    prompt.request_id = std::to_string(i);
    if (!cluster_.submit({client_key, queue}, std::move(prompt))) return false;
  }
  return true;
}

asio::awaitable<void> GenerateHandler::handle(OpenAiEndpoint endpoint, const HttpRequest& request,
                                              HttpReply& reply) {
  const bool is_chat = endpoint == OpenAiEndpoint::kChatCompletions;
  const Result<OpenAiRequest> parsed =
      is_chat ? parse_chat_request(request.body) : parse_completion_request(request.body);
  if (!parsed) {
    HttpResponse refusal = error_response(parsed.error());
    co_await reply.send(std::move(refusal));
    co_return;
  }
  const std::string client_key = ids_.make("http:");
  const auto queue = std::make_shared<ReplyQueue>(reply.executor());
  CancelOnExit guard(cluster_, client_key);
  if (!submit(*parsed, client_key, queue)) {
    HttpResponse refusal =
        error_response({ErrorCode::kOverloaded, "too many requests are waiting", ""});
    co_await reply.send(std::move(refusal));
    co_return;
  }
  std::function<void()> on_gone = [queue] { queue->peer_gone(); };
  reply.watch_peer(std::move(on_gone));
  bool complete = false;
  if (parsed->stream)
    complete = co_await answer_stream(*parsed, queue, reply);
  else
    complete = co_await answer_whole(*parsed, queue, reply);
  if (complete) guard.disarm();
}

// True when every prompt has had its last word.
asio::awaitable<bool> GenerateHandler::answer_whole(const OpenAiRequest& request, Queue queue,
                                                    HttpReply& reply) {
  WholeAnswer answer(request, header(request.endpoint));
  HttpResponse response;
  while (!answer.complete()) {
    const News news = co_await queue->wait(keep_alive_);
    if (news == News::kPeerGone) co_return false;
    for (const wire::Message& message : queue->take()) {
      if (const auto* accepted = std::get_if<wire::Accepted>(&message)) {
        answer.accepted(prompt_index(accepted->request_id), *accepted);
        response.headers = seed_header(accepted->seed);
      } else if (const auto* tokens = std::get_if<wire::Tokens>(&message)) {
        answer.tokens(prompt_index(tokens->request_id), *tokens);
      } else if (const auto* done = std::get_if<wire::Done>(&message)) {
        answer.done(*done);
      } else if (const auto* failed = std::get_if<wire::ErrorReply>(&message)) {
        HttpResponse refusal = error_response({failed->code, failed->message, failed->param});
        co_await reply.send(std::move(refusal));
        co_return false;
      }
    }
  }
  response.body = answer.body();
  co_await reply.send(std::move(response));
  co_return true;
}

// Until every prompt is accepted an error is a plain HTTP error; then the 200 goes out, and an
// error becomes an event.
asio::awaitable<bool> GenerateHandler::answer_stream(const OpenAiRequest& request, Queue queue,
                                                     HttpReply& reply) {
  Stream stream{StreamedAnswer(request, header(request.endpoint)), request.prompts.size(), 0, "",
                std::nullopt};
  bool begun = false;
  while (!stream.over()) {
    const News news = co_await queue->wait(keep_alive_);
    if (news == News::kPeerGone) co_return false;
    for (const wire::Message& message : queue->take()) stream.take(message);
    if (!begun && stream.n_unaccepted > 0) {
      if (!stream.error) continue;
      HttpResponse refusal = error_response(*stream.error);
      co_await reply.send(std::move(refusal));
      co_return false;
    }
    if (!begun) {
      HttpHeaders headers = seed_header(stream.seed);
      begun = co_await reply.begin_events(std::move(headers));
      if (!begun) co_return false;
    }
    if (news == News::kTimeout) stream.text = sse::kKeepAlive;
    if (stream.error) sse::append_event(error_body(*stream.error), stream.text);
    if (stream.over()) stream.text += sse::kDone;
    std::string text = std::exchange(stream.text, {});
    const bool sent = co_await reply.send_events(std::move(text));
    if (!sent) co_return false;
  }
  co_await reply.end_events();
  co_return !stream.error;
}

}  // namespace lockstep
