#include "coordinator/openai/api_routes.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/service/http/url.h"
#include "common/version.h"
#include "coordinator/http/http_error.h"
#include "wire/codec/json_text.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using nlohmann::ordered_json;

constexpr std::string_view kModelPrefix = "/v1/models/";
constexpr std::array<std::string_view, 5> kGetPaths = {"/health", "/ready", "/version", "/metrics",
                                                       "/v1/models"};
constexpr std::array<std::string_view, 4> kPostPaths = {"/v1/chat/completions", "/v1/completions",
                                                        "/tokenize", "/detokenize"};
constexpr std::chrono::seconds kTimeout{30};  // for replies that need no text generation

template <class Paths>
bool contains(const Paths& paths, std::string_view path) {
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

HttpResponse json_response(const ordered_json& body) {
  HttpResponse response;
  response.body = json_text(body);
  return response;
}

// Contains only the parameters that the model's file recommends.
ordered_json sampling_json(const wire::DefaultSamplingParams& defaults) {
  ordered_json out = ordered_json::object();
  const auto add = [&](const char* name, const auto& value) {
    if (value) out[name] = *value;
  };
  add("temperature", defaults.temperature);
  add("top_p", defaults.top_p);
  add("min_p", defaults.min_p);
  add("top_k", defaults.top_k);
  add("repetition_penalty", defaults.repetition_penalty);
  return out;
}

ordered_json model_json(const wire::ModelInfo& info) {
  return {{"id", info.id},
          {"object", "model"},
          {"created", info.created},
          {"owned_by", "lockstep"},
          {"max_model_len", info.max_model_len},
          {"default_sampling_params",
           sampling_json(info.default_sampling_params.value_or(wire::DefaultSamplingParams{}))}};
}

ordered_json tokenized_json(const wire::Tokenized& answer) {
  const bool has_strings = !answer.token_strs.empty();
  return {{"count", answer.tokens.size()},
          {"max_model_len", answer.max_model_len},
          {"tokens", answer.tokens},
          {"token_strs", has_strings ? ordered_json(answer.token_strs) : ordered_json(nullptr)}};
}

HttpResponse answer_of(const wire::Message& message) {
  if (const auto* tokenized = std::get_if<wire::Tokenized>(&message))
    return json_response(tokenized_json(*tokenized));
  if (const auto* detokenized = std::get_if<wire::Detokenized>(&message))
    return json_response({{"prompt", detokenized->prompt}});
  if (const auto* error = std::get_if<wire::ErrorReply>(&message))
    return error_response({error->code, error->message, error->param});
  return error_response({ErrorCode::kInternal, "the node's answer is not understood", ""});
}

HttpResponse method_not_allowed(const HttpRequest& request, const char* allowed) {
  HttpResponse response = error_response(
      {ErrorCode::kMethodNotAllowed, request.method + " is not allowed here, only " + allowed, ""});
  response.headers.emplace_back("Allow", allowed);
  return response;
}

Result<wire::Message> parse_question(const HttpRequest& request) {
  if (request.path == "/tokenize") {
    TRY(wire::Tokenize question, parse_tokenize_request(request.body));
    question.request_id = "0";
    return wire::Message(std::move(question));
  }
  TRY(wire::Detokenize question, parse_detokenize_request(request.body));
  question.request_id = "0";
  return wire::Message(std::move(question));
}

}  // namespace

asio::awaitable<void> ApiRoutes::handle(HttpRequest& request, HttpReply& reply) {
  const bool is_get = contains(kGetPaths, request.path) || request.path.rfind(kModelPrefix, 0) == 0;
  const bool is_post = contains(kPostPaths, request.path);
  HttpResponse response;
  if (is_post && request.method == "POST") {
    if (request.path == "/v1/chat/completions")
      co_return co_await generate_.handle(OpenAiEndpoint::kChatCompletions, request, reply);
    if (request.path == "/v1/completions")
      co_return co_await generate_.handle(OpenAiEndpoint::kCompletions, request, reply);
    Result<wire::Message> question = parse_question(request);
    request.drop_body();
    co_return co_await ask(std::move(question), reply);
  }
  if (is_get && request.method == "GET")
    response = get(request);
  else if (is_get || is_post)
    response = method_not_allowed(request, is_get ? "GET, HEAD" : "POST");
  else
    response = error_response({ErrorCode::kNotFound, "there is nothing at this path", ""});
  co_await reply.send(std::move(response));
}

HttpResponse ApiRoutes::get(const HttpRequest& request) const {
  if (request.path == "/version") return json_response({{"version", kVersion}});
  if (request.path == "/v1/models") return models();
  if (request.path == "/metrics") {
    HttpResponse response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = gateway_metrics(*cluster_.view());
    return response;
  }
  if (request.path.rfind(kModelPrefix, 0) == 0)
    return model(std::string_view(request.path).substr(kModelPrefix.size()));
  return health();
}

HttpResponse ApiRoutes::health() const {
  if (cluster_.view()->ready()) return json_response({{"status", "ok"}});
  return error_response({ErrorCode::kNoNodeReady, "no node is ready", ""});
}

HttpResponse ApiRoutes::models() const {
  ordered_json list = ordered_json::array();
  for (const wire::ModelInfo& info : cluster_.view()->models()) list.push_back(model_json(info));
  return json_response({{"object", "list"}, {"data", std::move(list)}});
}

HttpResponse ApiRoutes::model(std::string_view encoded_id) const {
  const std::string id = percent_decode(encoded_id);
  for (const wire::ModelInfo& info : cluster_.view()->models()) {
    if (info.id == id) return json_response(model_json(info));
  }
  return error_response(
      {ErrorCode::kModelNotFound, "the model '" + id + "' does not exist", "model"});
}

asio::awaitable<void> ApiRoutes::ask(Result<wire::Message> question, HttpReply& reply) {
  if (!question) {
    HttpResponse refusal = error_response(question.error());
    co_await reply.send(std::move(refusal));
    co_return;
  }
  const std::string client_key = ids_.make("http:");
  const auto queue = std::make_shared<ReplyQueue>(reply.executor());
  CancelOnExit guard(cluster_, client_key);
  HttpResponse response =
      error_response({ErrorCode::kOverloaded, "too many requests are waiting", ""});
  if (cluster_.submit({client_key, queue}, std::move(*question))) {
    std::function<void()> on_gone = [queue] { queue->client_gone(); };
    reply.watch_client(std::move(on_gone));
    const ReplyQueue::WaitResult waited = co_await queue->wait(kTimeout);
    if (waited == ReplyQueue::WaitResult::kClientGone) co_return;
    if (waited == ReplyQueue::WaitResult::kMessages) {
      const std::vector<wire::Message> answers = queue->take();
      response = answer_of(answers.front());
      guard.disarm();
    } else {
      response =
          error_response({ErrorCode::kDeadlineExceeded, "no node answered within 30 seconds", ""});
    }
  }
  co_await reply.send(std::move(response));
}

}  // namespace lockstep
