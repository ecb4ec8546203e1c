#include "node/service/requests/text_server.h"

#include "common/log.h"
#include "common/text/utf8.h"
#include "node/service/requests/generate_params.h"
#include "wire/codec/codec.h"

namespace lockstep {
namespace {

// These messages name no tenant, so they count for the default one.
constexpr int32_t kNoTenant = 0;

wire::Message refusal(const std::string& request_id, const Error& error) {
  return wire::ErrorReply{request_id, error.code, error.message, error.param};
}

}  // namespace

void TextServer::tokenize(const std::string& peer, wire::Tokenize request) {
  if (const Status length = check_text_length(model_, request); !length) {
    return send_queue_.send(peer, refusal(request.request_id, length.error()));
  }
  const size_t n_bytes = prompt_text_bytes(request);
  run(peer, n_bytes, std::move(request));
}

void TextServer::detokenize(const std::string& peer, wire::Detokenize request) {
  const size_t n_bytes = request.tokens.size() * sizeof(int32_t);
  run(peer, n_bytes, std::move(request));
}

template <class Request>
void TextServer::run(const std::string& peer, size_t n_bytes, Request request) {
  const std::string request_id = request.request_id;
  const bool taken = worker_.run(n_bytes, kNoTenant, [this, peer, request = std::move(request)] {
    return [this, peer, reply = answer(request)] { send_queue_.send(peer, reply); };
  });
  if (taken) return;
  send_queue_.send(peer, refusal(request_id, worker_.full(kNoTenant)));
}

wire::Message TextServer::answer(const wire::Tokenize& request) const {
  const Status served = check_model(model_, request.model);
  if (!served) return refusal(request.request_id, served.error());
  const Result<std::vector<int32_t>> ids = encode_prompt(model_, request);
  if (!ids) return refusal(request.request_id, ids.error());
  const TextLimit limit = text_limit(model_, request);
  if (static_cast<int64_t>(ids->size()) > limit.n_tokens) {
    return refusal(
        request.request_id,
        {limit.code, str("the text has ", ids->size(), " tokens; one reply holds ", limit.n_tokens),
         "prompt"});
  }
  wire::Tokenized out;
  out.request_id = request.request_id;
  out.tokens = *ids;
  out.max_model_len = static_cast<uint64_t>(model_.engine.config().limits.max_model_len);
  if (request.return_token_strs) {
    for (const int32_t id : *ids) {
      out.token_strs.emplace_back(model_.tokenizer().token_bytes(id, true));
    }
  }
  return out;
}

wire::Message TextServer::answer(const wire::Detokenize& request) const {
  const Status served = check_model(model_, request.model);
  if (!served) return refusal(request.request_id, served.error());
  const int32_t vocab_size = model_.tokenizer().vocab_size();
  for (const int32_t id : request.tokens) {
    if (id >= 0 && id < vocab_size) continue;
    return refusal(
        request.request_id,
        {ErrorCode::kInvalidRequest,
         str("tokens holds ", id, ", outside the vocabulary of ", vocab_size), "tokens"});
  }
  const std::string text = model_.tokenizer().decode(request.tokens, true);
  return wire::Detokenized{request.request_id, utf8::replace_invalid(text)};
}

}  // namespace lockstep
