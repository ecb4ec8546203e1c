#include "node/service/requests/request_server.h"

#include <iterator>

#include "common/log.h"
#include "common/service/config/strict_yaml.h"
#include "wire/codec/codec.h"
#include "wire/codec/sendable.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

wire::Usage usage_to_wire(const Usage& usage) {
  return {usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens};
}

std::optional<wire::CacheReceipt> receipt_to_wire(const std::optional<CacheReceipt>& receipt) {
  if (!receipt) return std::nullopt;
  wire::CacheReceipt out;
  out.outcome = to_string(receipt->outcome);
  out.matched_tokens = static_cast<uint64_t>(receipt->n_matched);
  out.divergent_at = static_cast<uint64_t>(receipt->first_divergent);
  if (receipt->outcome == CacheOutcome::kEvicted) {
    out.evicted_seconds = std::chrono::duration<double>(receipt->evicted_for).count();
  }
  return out;
}

void log_end(const std::string& request_id, const RequestEnd& end) {
  if (!is_logged(LogLevel::kTrace)) return;
  const Usage& usage = end.usage;
  log(LogLevel::kTrace,
      str("request ended id=", quote_yaml(request_id), " reason=", to_string(end.reason),
          " prompt_tokens=", usage.prompt_tokens, " cached_tokens=", usage.cached_tokens,
          " computed_tokens=", usage.prompt_tokens - usage.cached_tokens, " completion_tokens=",
          usage.completion_tokens, " cache=", end.cache ? to_string(end.cache->outcome) : "none"));
}

const Error kSlowReader{ErrorCode::kOverloaded,
                        "the client did not read its tokens; its queue is full", ""};

}  // namespace

RequestServer::RequestServer(const ServedModel& model, SendQueue& send_queue, TextWorker& worker,
                             NodeProbes& probes, const Clock& clock)
    : model_(model), send_queue_(send_queue), worker_(worker), probes_(probes), clock_(clock) {}

Status RequestServer::check_open(const std::string& model) const {
  if (draining_) {
    return Error{ErrorCode::kNoNodeReady, "this node is shutting down and takes no requests", ""};
  }
  return check_model(model_, model);
}

void RequestServer::generate(const std::string& peer, wire::Generate request) {
  const Status open = check_open(request.model);
  if (!open) return refuse(peer, request.request_id, open.error());
  const Clock::TimePoint now = clock_.now();
  const uint64_t seed = request.seed ? *request.seed : seeds_.next();
  const Result<GenerationRequest> wanted = generation_request(
      request, model_.engine.config().tenants, seed, now, model_.sampling_defaults);
  if (!wanted) return refuse(peer, request.request_id, wanted.error());
  if (const Status length = check_text_length(model_, request); !length) {
    return refuse(peer, request.request_id, length.error());
  }
  PeerRequest* live =
      live_.add(peer, request.request_id, static_cast<size_t>(wanted->sampling.n), now);
  if (live == nullptr) {
    return refuse(peer, request.request_id,
                  {ErrorCode::kConflict,
                   "request_id '" + request.request_id + "' is that of a request still running",
                   "request_id"});
  }
  live->attempt = request.attempt;
  probes_.prompt_received(request.messages ? "chat" : request.prompt_ids ? "ids" : "text");
  const RequestId id = live->id;
  const std::string request_id = request.request_id;
  const size_t n_bytes = prompt_text_bytes(request);
  const auto shared = std::make_shared<const wire::Generate>(std::move(request));
  const bool taken = worker_.run(n_bytes, wanted->tenant, [this, id, shared, wanted = *wanted] {
    auto prompt = encode_prompt(model_, *shared);
    return [this, id, shared, wanted, prompt = std::move(prompt)] {
      submit(id, *shared, wanted, prompt);
    };
  });
  if (taken) return;
  live_.erase(id);
  refuse(peer, request_id, worker_.full(wanted->tenant));
}

void RequestServer::submit(RequestId id, const wire::Generate& request, GenerationRequest wanted,
                           Result<std::vector<int32_t>> prompt) {
  PeerRequest* live = live_.find(id);
  if (live == nullptr) return;  // cancelled while its prompt was encoded
  const std::string peer = live->peer;
  const auto give_up = [&](const Error& error) {
    live_.erase(id);
    refuse(peer, request.request_id, error);
  };
  if (!prompt) return give_up(prompt.error());
  wire::Accepted accepted;
  accepted.request_id = request.request_id;
  accepted.seed = wanted.sampling.seed;
  accepted.prompt_tokens = prompt->size();
  if (request.return_token_ids) accepted.prompt_token_ids = *prompt;
  wanted.id = id;
  wanted.prompt = std::move(prompt).value();
  for (size_t i = 0; i < live->previous.size(); ++i) {
    const bool has_output = i < wanted.emitted.size() && !wanted.emitted[i].ids.empty();
    const std::vector<int32_t>& before = has_output ? wanted.emitted[i].ids : wanted.prompt;
    if (!before.empty()) live->previous[i] = before.back();
  }
  const Result<int32_t> max_tokens = model_.engine.submit(std::move(wanted));
  if (!max_tokens) return give_up(max_tokens.error());
  accepted.max_tokens = static_cast<uint64_t>(*max_tokens);
  live->submitted = true;
  send_queue_.send(peer, accepted);
}

void RequestServer::cancel(const std::string& peer, const std::string& request_id) {
  PeerRequest* live = live_.find(peer, request_id);
  if (live == nullptr) return;  // it ended; the final message is on its way
  if (live->submitted) return model_.engine.cancel(live->id);
  live_.erase(live->id);
  refuse(peer, request_id, {ErrorCode::kCancelled, "cancelled before it began", ""});
}

void RequestServer::drop_peer(const std::string& peer) {
  for (const RequestId id : live_.of_peer(peer)) {
    if (live_.find(id)->submitted) model_.engine.cancel(id);
    live_.erase(id);
    probes_.request_ended("disconnected");
  }
}

void RequestServer::on_outputs(const StepOutputs& outputs,
                               const std::set<std::string>& batched_peers) {
  for (const StepOutputs::Choice& choice : outputs.choices()) {
    PeerRequest* live = live_.find(choice.event.request);
    if (live == nullptr) continue;  // its peer is gone
    const ChoiceEvent event = outputs.view(choice);
    observe(*live, event, choice.at);
    if (live->muted) continue;
    if (batched_peers.contains(live->peer)) {
      batches_[live->peer].items.push_back(to_wire(*live, event));
    } else {
      send_tokens(*live, to_wire(*live, event));
    }
  }
  for (auto& [peer, batch] : batches_) {
    send_batch(peer, batch);
  }
  batches_.clear();
  for (const StepOutputs::End& ended : outputs.ends()) end(ended);
}

// Sends one message, or several if outputs have accumulated beyond what a reader accepts in one.
void RequestServer::send_batch(const std::string& peer, wire::TokensBatch& batch) {
  const std::string body = wire::encode(batch);
  // A value takes at least one byte, so the number of bytes alone decides for most batches.
  const bool fits =
      body.size() <= wire::kMaxValues || wire::check_sendable(wire::encoded_size(batch));
  if (!fits && batch.items.size() > 1) {
    const auto middle = batch.items.begin() + static_cast<ptrdiff_t>(batch.items.size() / 2);
    wire::TokensBatch second;
    second.items.assign(std::make_move_iterator(middle),
                        std::make_move_iterator(batch.items.end()));
    batch.items.erase(middle, batch.items.end());
    send_batch(peer, batch);
    return send_batch(peer, second);
  }
  if (fits && send_queue_.try_send(peer, body)) return;
  for (const wire::Tokens& item : batch.items) mute(*live_.find(peer, item.request_id));
}

void RequestServer::send_tokens(PeerRequest& request, const wire::Tokens& tokens) {
  frame_.clear();
  wire::encode_tokens(tokens, frame_);
  if (!send_queue_.try_send(request.peer, frame_)) mute(request);
}

// A stream never has a gap: after a piece that could not be sent, no later piece is sent.
void RequestServer::mute(PeerRequest& request) {
  if (!std::exchange(request.muted, true)) model_.engine.cancel(request.id);
}

void RequestServer::observe(PeerRequest& request, const ChoiceEvent& event, Clock::TimePoint at) {
  if (event.ids.empty()) return;
  auto& last = request.last_token[event.choice];
  if (last) {
    probes_.next_tokens(at - *last, event.ids.size());
  } else if (event.first_index == 0) {  // a resumed choice had its first token elsewhere
    probes_.first_token(at - request.arrived);
  }
  last = at;
}

wire::Tokens RequestServer::to_wire(PeerRequest& request, const ChoiceEvent& event) const {
  wire::Tokens tokens;
  tokens.request_id = request.request_id;
  tokens.choice = event.choice;
  tokens.first_index = event.first_index;
  tokens.ids.assign(event.ids.begin(), event.ids.end());
  tokens.text = event.text;
  tokens.epoch = model_.epoch;
  tokens.attempt = request.attempt;
  int32_t& previous = request.previous[event.choice];
  // The bytes of a choice's tokens, put together, are its text (control tokens aside).
  const auto bytes = [&](int32_t id) {
    return std::string(model_.tokenizer().bytes_after(previous, id, true));
  };
  const size_t n_top = event.ids.empty() ? 0 : event.top.size() / event.ids.size();
  for (size_t i = 0; i < event.logprobs.size(); ++i) {
    wire::TokenLogprobs& row = tokens.logprobs.emplace_back();
    row.bytes = bytes(event.ids[i]);
    row.logprob = event.logprobs[i];
    row.special = !row.bytes.empty() && model_.tokenizer().token_bytes(event.ids[i], false).empty();
    for (const TokenLogprob& top : event.top.subspan(i * n_top, n_top)) {
      row.top.push_back({top.id, bytes(top.id), top.logprob});
    }
    previous = event.ids[i];
  }
  if (!event.ids.empty()) previous = event.ids.back();
  if (event.finished) tokens.finish_reason = to_string(*event.finished);
  if (!event.stop_string.empty()) tokens.stop_string = event.stop_string;
  if (event.stop_token >= 0) tokens.stop_token = event.stop_token;
  return tokens;
}

void RequestServer::end(const StepOutputs::End& ended) {
  const PeerRequest* live = live_.find(ended.end.request);
  if (live == nullptr) return;
  const std::string peer = live->peer;
  const std::string request_id = live->request_id;
  const bool muted = live->muted;
  live_.erase(ended.end.request);
  log_end(request_id, ended.end);
  if (muted) return refuse(peer, request_id, kSlowReader);
  if (ended.end.reason == FinishReason::kError) {
    return refuse(peer, request_id, {ended.end.error, ended.message, ""});
  }
  const std::string reason(to_string(ended.end.reason));
  probes_.request_ended(reason);
  send_queue_.send(peer, wire::Done{request_id, reason, usage_to_wire(ended.end.usage),
                                    receipt_to_wire(ended.end.cache)});
}

void RequestServer::refuse(const std::string& peer, const std::string& request_id,
                           const Error& error) {
  probes_.request_ended(to_string(error.code));
  send_queue_.send(peer, wire::ErrorReply{request_id, error.code, error.message, error.param});
}

}  // namespace lockstep
