#include "coordinator/openai/generate_handler.h"

#include <utility>

#include "common/log.h"
#include "coordinator/http/http_error.h"
#include "coordinator/openai/cache_receipts.h"
#include "coordinator/openai/event_stream.h"
#include "coordinator/openai/route_headers.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using WaitResult = ReplyQueue::WaitResult;

}  // namespace

Status check_batch(size_t n_prompts, const std::string& model, const ClusterView& view) {
  const ModelGroup* group = find_group(*view.groups, model);
  if (group == nullptr || !group->serving().n_queued) return Ok{};
  const int64_t n_slots = group->serving().n_slots;
  const int64_t n_queued = *group->serving().n_queued;
  if (n_prompts <= static_cast<size_t>(n_slots + n_queued)) return Ok{};
  return Error{ErrorCode::kInvalidRequest,
               str("prompt holds ", n_prompts, " prompts, the nodes that serve '", model,
                   "' hold at most ", n_slots + n_queued, " requests at once (", n_slots,
                   " that run and ", n_queued, " that wait): send fewer in one request"),
               "prompt"};
}

HttpHeaders GenerateHandler::headers(const Resumption& resumption) const {
  HttpHeaders out = {{"X-Lockstep-Seed", std::to_string(resumption.token.seed)}};
  if (!resumption.has_token) return out;
  std::string token = cluster_.resume_tokens().seal(resumption.token);
  if (!token.empty()) out.emplace_back("X-Resume-Token", std::move(token));
  return out;
}

// Moves the prompts to the cluster, because they are long. `request` keeps everything that the
// response needs.
bool GenerateHandler::submit(OpenAiRequest& request, const std::string& required_fingerprint,
                             const Client& client) {
  std::vector<wire::Generate> prompts;
  prompts.reserve(request.prompts.size());
  for (wire::Generate& kept : request.prompts) {
    auto text = std::exchange(kept.prompt_text, std::nullopt);
    auto ids = std::exchange(kept.prompt_ids, std::nullopt);
    auto messages = std::exchange(kept.messages, std::nullopt);
    wire::Generate& sent = prompts.emplace_back(kept);
    sent.request_id = prompt_id(prompts.size() - 1);
    sent.prompt_text = std::move(text);
    sent.prompt_ids = std::move(ids);
    sent.messages = std::move(messages);
  }
  return cluster_.submit(client, std::move(prompts), required_fingerprint);
}

asio::awaitable<void> GenerateHandler::handle(OpenAiEndpoint endpoint, HttpRequest& request,
                                              HttpReply& reply) {
  const bool is_chat = endpoint == OpenAiEndpoint::kChatCompletions;
  Result<OpenAiRequest> parsed =
      is_chat ? parse_chat_request(request.body) : parse_completion_request(request.body);
  request.drop_body();
  if (!parsed) {
    HttpResponse refusal = error_response(parsed.error());
    co_await reply.send(std::move(refusal));
    co_return;
  }
  if (const Status routed = read_route_headers(request, *parsed); !routed) {
    HttpResponse refusal = error_response(routed.error());
    co_await reply.send(std::move(refusal));
    co_return;
  }
  const Status fits = check_batch(parsed->prompts.size(), parsed->common().model, *cluster_.view());
  if (!fits) {
    HttpResponse refusal = error_response(fits.error());
    co_await reply.send(std::move(refusal));
    co_return;
  }
  Result<Resumption> resumption = read_resumption(request, cluster_.resume_tokens(), *parsed);
  if (!resumption) {
    HttpResponse refusal = error_response(resumption.error());
    co_await reply.send(std::move(refusal));
    co_return;
  }
  const std::string client_key = ids_.make("http:");
  const auto queue = std::make_shared<ReplyQueue>(reply.executor());
  CancelOnExit guard(cluster_, client_key);
  const Client client{.key = client_key, .replies = queue, .trace_id = request.request_id};
  if (!submit(*parsed, resumption->required_fingerprint(), client)) {
    HttpResponse refusal =
        error_response({ErrorCode::kOverloaded, "too many requests are waiting", ""});
    co_await reply.send(std::move(refusal));
    co_return;
  }
  std::function<void()> on_gone = [queue] { queue->client_gone(); };
  reply.watch_client(std::move(on_gone));
  bool complete = false;
  if (parsed->stream)
    complete = co_await answer_stream(*parsed, std::move(*resumption), queue, reply);
  else
    complete = co_await answer_whole(*parsed, std::move(*resumption), queue, reply);
  if (complete) guard.disarm();
}

// Returns true when every prompt has had its final message.
asio::awaitable<bool> GenerateHandler::answer_whole(const OpenAiRequest& request,
                                                    Resumption resumption, Queue queue,
                                                    HttpReply& reply) {
  WholeAnswer answer(request, resumption.header(request.endpoint));
  CacheReceipts receipts;
  RouteReceipts routes;
  HttpResponse response;
  while (!answer.complete()) {
    const WaitResult waited = co_await queue->wait(keep_alive_);
    if (waited == WaitResult::kClientGone) co_return false;
    for (const wire::Message& message : queue->take()) {
      if (const auto* accepted = std::get_if<wire::Accepted>(&message)) {
        answer.accepted(prompt_index(accepted->request_id), *accepted);
        resumption.take(*accepted);
        routes.take(*accepted);
        response.headers = headers(resumption);
      } else if (const auto* tokens = std::get_if<wire::Tokens>(&message)) {
        answer.tokens(prompt_index(tokens->request_id), *tokens);
      } else if (const auto* done = std::get_if<wire::Done>(&message)) {
        answer.done(*done);
        receipts.done(*done);
      } else if (const auto* failed = std::get_if<wire::ErrorReply>(&message)) {
        HttpResponse refusal = error_response({failed->code, failed->message, failed->param});
        co_await reply.send(std::move(refusal));
        co_return false;
      }
    }
  }
  response.body = answer.body();
  routes.add_to(response.headers);
  std::string receipt = receipts.text();
  if (!receipt.empty()) response.headers.emplace_back("X-Cache-Receipt", std::move(receipt));
  co_await reply.send(std::move(response));
  co_return true;
}

// Until every prompt is accepted, an error is sent as a plain HTTP error. Then the status 200 is
// sent, and a later error is sent as an event.
asio::awaitable<bool> GenerateHandler::answer_stream(const OpenAiRequest& request,
                                                     Resumption resumption, Queue queue,
                                                     HttpReply& reply) {
  EventStream stream(request, resumption.header(request.endpoint), resumption.position);
  RouteReceipts routes;
  bool begun = false;
  while (!stream.over()) {
    const WaitResult waited = co_await queue->wait(keep_alive_);
    if (waited == WaitResult::kClientGone) co_return false;
    for (const wire::Message& message : queue->take()) {
      if (const auto* accepted = std::get_if<wire::Accepted>(&message)) {
        resumption.take(*accepted);
        routes.take(*accepted);
      }
      stream.take(message);
    }
    if (!begun && !stream.accepted()) {
      if (!stream.error()) continue;
      HttpResponse refusal = error_response(*stream.error());
      co_await reply.send(std::move(refusal));
      co_return false;
    }
    if (!begun) {
      HttpHeaders first = headers(resumption);
      routes.add_to(first);
      begun = co_await reply.begin_events(std::move(first));
      if (!begun) co_return false;
    }
    std::string text = stream.take_text(waited == WaitResult::kTimeout);
    const bool sent = co_await reply.send_events(std::move(text));
    if (!sent) co_return false;
  }
  co_await reply.end_events();
  co_return !stream.error();
}

}  // namespace lockstep
