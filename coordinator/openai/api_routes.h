// ApiRoutes: maps every path of the public HTTP port to its handler, and implements the handlers
// that do not generate text. Unknown paths and methods get OpenAI-shaped errors. Any thread (one
// coroutine per request).
#pragma once

#include <string_view>

#include "common/service/http/http_reply.h"
#include "coordinator/openai/generate_handler.h"
#include "coordinator/requests/cluster_client.h"

namespace lockstep {

class ApiRoutes {
 public:
  ApiRoutes(ClusterClient& cluster, IdGenerator& ids, std::chrono::milliseconds keep_alive)
      : cluster_(cluster), ids_(ids), generate_(cluster, ids, keep_alive) {}

  boost::asio::awaitable<void> handle(HttpRequest& request, HttpReply& reply);

 private:
  HttpResponse get(const HttpRequest& request) const;
  HttpResponse health() const;
  HttpResponse models() const;
  HttpResponse model(std::string_view encoded_id) const;
  // Sends one message to the cluster and waits for its single reply.
  boost::asio::awaitable<void> ask(Result<wire::Message> question, HttpReply& reply);

  ClusterClient& cluster_;
  IdGenerator& ids_;
  GenerateHandler generate_;
};

}  // namespace lockstep
