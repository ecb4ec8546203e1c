#include "coordinator/requests/request_dispatcher.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "wire/codec/sendable.h"

namespace lockstep {
namespace {

using wire::ErrorReply;

bool supports_our_version(const wire::Hello& hello) {
  return std::find(hello.versions.begin(), hello.versions.end(), wire::kProtocolVersion) !=
         hello.versions.end();
}

}  // namespace

RequestDispatcher::RequestDispatcher(Forwarder& forwarder, std::function<ClusterView()> view)
    : forwarder_(forwarder), view_(std::move(view)), epoch_(std::random_device()()) {}

void RequestDispatcher::on_message(const Client& client, wire::Message message) {
  if (auto* generate = std::get_if<wire::Generate>(&message)) {
    if (!generate->emitted.empty())
      return client.replies->deliver(ErrorReply{
          generate->request_id, ErrorCode::kInvalidRequest,
          "only a coordinator sends 'emitted'; a client resumes with 'attach'", "emitted"});
    forwarder_.submit(client, std::move(*generate));
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
