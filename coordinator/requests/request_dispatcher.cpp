#include "coordinator/requests/request_dispatcher.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "common/log.h"
#include "wire/codec/sendable.h"

namespace lockstep {
namespace {

using wire::ErrorReply;

bool supports_our_version(const wire::Hello& hello) {
  return std::find(hello.versions.begin(), hello.versions.end(), wire::kProtocolVersion) !=
         hello.versions.end();
}

// Writes the resume token of one request into its `accepted`.
class TokenReplies final : public ReplySink {
 public:
  TokenReplies(std::shared_ptr<ReplySink> replies, const wire::Generate& request,
               const ResumeTokens& tokens)
      : replies_(std::move(replies)),
        digest_(digest_of({&request, 1})),
        has_max_tokens_(request.max_tokens.has_value()),
        tokens_(tokens) {}

  const RequestDigest& digest() const { return digest_; }

  void deliver(wire::Message message) override {
    if (auto* accepted = std::get_if<wire::Accepted>(&message)) {
      ResumeToken token;
      token.digest = digest_;
      token.seed = accepted->seed;
      token.fingerprint = accepted->fingerprint;
      if (!has_max_tokens_) token.max_tokens = {static_cast<uint32_t>(accepted->max_tokens)};
      accepted->resume_token = tokens_.seal(token);
    }
    replies_->deliver(std::move(message));
  }

 private:
  const std::shared_ptr<ReplySink> replies_;
  const RequestDigest digest_;
  const bool has_max_tokens_;
  const ResumeTokens& tokens_;
};

void refuse(const Client& client, const std::string& request_id, const Error& error) {
  client.replies->deliver(ErrorReply{request_id, error.code, error.message, error.param});
}

// The client's word for what it has, as a node understands it.
std::vector<wire::EmittedChoice> emitted_of(const std::vector<uint32_t>& index) {
  std::vector<wire::EmittedChoice> emitted(index.size());
  for (size_t i = 0; i < index.size(); ++i) emitted[i].count = index[i];
  return emitted;
}

}  // namespace

RequestDispatcher::RequestDispatcher(Forwarder& forwarder, const ResumeTokens& tokens,
                                     std::function<ClusterView()> view)
    : forwarder_(forwarder),
      tokens_(tokens),
      view_(std::move(view)),
      epoch_(std::random_device()()) {}

void RequestDispatcher::on_message(const Client& client, wire::Message message) {
  if (auto* request = std::get_if<wire::Generate>(&message)) {
    generate(client, std::move(*request));
  } else if (auto* resumed = std::get_if<wire::Attach>(&message)) {
    attach(client, std::move(*resumed));
  } else if (auto* tokenize = std::get_if<wire::Tokenize>(&message)) {
    forwarder_.submit(client, std::move(*tokenize));
  } else if (auto* detokenize = std::get_if<wire::Detokenize>(&message)) {
    forwarder_.submit(client, std::move(*detokenize));
  } else if (auto* cancel = std::get_if<wire::Cancel>(&message)) {
    forwarder_.cancel(client.key, cancel->request_id);
  } else if (auto* status = std::get_if<wire::StatusRequest>(&message)) {
    client.replies->deliver(cluster_status(view_(), status->request_id));
  } else if (auto* models = std::get_if<wire::ModelsRequest>(&message)) {
    client.replies->deliver(wire::Models{models->request_id, view_().models()});
  } else if (auto* describe = std::get_if<wire::DescribeRequest>(&message)) {
    client.replies->deliver(cluster_description(view_(), describe->request_id));
  } else if (auto* hello = std::get_if<wire::Hello>(&message)) {
    if (supports_our_version(*hello)) return client.replies->deliver(welcome());
    client.replies->deliver(ErrorReply{"", ErrorCode::kUnsupportedParameter,
                                       "this coordinator speaks versions: 1", "versions"});
  } else {
    const std::string type = wire::type_name(message);
    client.replies->deliver(ErrorReply{wire::request_id_of(message), ErrorCode::kInvalidRequest,
                                       "'" + type + "' is not a message that clients send",
                                       "type"});
  }
}

// Only a coordinator says what was emitted: a node believes it.
void RequestDispatcher::generate(const Client& client, wire::Generate request) {
  if (!request.emitted.empty())
    return refuse(
        client, request.request_id,
        {ErrorCode::kInvalidRequest,
         "only a coordinator sends 'emitted'; a client resumes with 'attach'", "emitted"});
  request.attempt = 0;
  const auto replies = std::make_shared<TokenReplies>(client.replies, request, tokens_);
  forwarder_.submit({client.key, replies}, std::move(request));
}

void RequestDispatcher::attach(const Client& client, wire::Attach request) {
  if (static_cast<int64_t>(request.index.size()) != request.n)
    return refuse(client, request.request_id,
                  tokens_.refuse(ResumeFault::kPosition,
                                 {ErrorCode::kInvalidRequest,
                                  str("index must hold one number for each of the ", request.n,
                                      " choices, got ", request.index.size()),
                                  "index"}));
  wire::Generate& generate = request;
  const auto replies = std::make_shared<TokenReplies>(client.replies, generate, tokens_);
  const Result<ResumeToken> token =
      tokens_.open(request.resume_token, "resume_token", replies->digest(), request.seed);
  if (!token) return refuse(client, request.request_id, token.error());
  generate.attempt = 0;
  begin_again(*token, 0, generate);
  generate.emitted = emitted_of(request.index);
  std::vector<wire::Generate> prompts;
  prompts.push_back(std::move(generate));
  forwarder_.submit({client.key, replies}, std::move(prompts), token->fingerprint);
}

wire::Welcome RequestDispatcher::welcome() const {
  const ClusterView view = view_();
  wire::Welcome welcome;
  welcome.epoch = epoch_;
  welcome.models = view.models();
  welcome.backend = "coordinator";
  if (!view.groups->empty()) welcome.fingerprint = view.groups->front().serving().fingerprint;
  for (const auto& node : view.nodes) {
    if (!node->is_present()) continue;
    if (node->welcome->fingerprint == welcome.fingerprint)
      welcome.block_size = node->welcome->block_size;
    welcome.n_kv_blocks += node->welcome->n_kv_blocks;
    welcome.max_num_seqs += node->welcome->max_num_seqs;
  }
  return welcome;
}

}  // namespace lockstep
