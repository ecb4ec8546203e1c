// GenerateHandler: handles a /v1/chat/completions or /v1/completions request from the body to the
// last byte of the response. It submits the prompts to the cluster as one client and converts the
// replies to a JSON body or a stream of events. Runs as a coroutine on the connection's executor.
#pragma once

#include <chrono>
#include <string>

#include "common/result.h"
#include "common/service/http/http_reply.h"
#include "coordinator/cluster/cluster_view.h"
#include "coordinator/http/id_generator.h"
#include "coordinator/openai/openai_request.h"
#include "coordinator/openai/openai_response.h"
#include "coordinator/openai/resumption.h"
#include "coordinator/requests/cluster_client.h"
#include "coordinator/requests/reply_queue.h"

namespace lockstep {

class GenerateHandler {
 public:
  // `keep_alive`: a stream that is silent for this long gets a comment.
  GenerateHandler(ClusterClient& cluster, IdGenerator& ids, std::chrono::milliseconds keep_alive)
      : cluster_(cluster), ids_(ids), keep_alive_(keep_alive) {}

  boost::asio::awaitable<void> handle(OpenAiEndpoint endpoint, HttpRequest& request,
                                      HttpReply& reply);

 private:
  using Queue = std::shared_ptr<ReplyQueue>;

  bool submit(OpenAiRequest& request, const std::string& required_fingerprint,
              const Client& client);
  // The headers of a response whose prompts are accepted: its seed and its resume token.
  HttpHeaders headers(const Resumption& resumption) const;
  boost::asio::awaitable<bool> answer_whole(const OpenAiRequest& request, Resumption resumption,
                                            Queue queue, HttpReply& reply);
  boost::asio::awaitable<bool> answer_stream(const OpenAiRequest& request, Resumption resumption,
                                             Queue queue, HttpReply& reply);

  ClusterClient& cluster_;
  IdGenerator& ids_;
  const std::chrono::milliseconds keep_alive_;
};

// Returns an error with the numbers if the nodes that serve `model` can hold fewer than `n_prompts`
// requests, running and waiting together, even when idle: a retry would not help. Returns Ok if a
// node does not report how many requests it can hold.
Status check_batch(size_t n_prompts, const std::string& model, const ClusterView& view);

}  // namespace lockstep
