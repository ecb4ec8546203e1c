#include "node/service/admin/control_pages.h"

#include <nlohmann/json.hpp>

#include "common/log.h"
#include "wire/codec/codec.h"
#include "wire/codec/json_text.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

constexpr std::chrono::milliseconds kTimeout{10'000};

AdminResponse json_response(const ordered_json& body, int status = 200) {
  return {status, "application/json", json_text(body) + "\n"};
}

AdminResponse error_response(const Error& error) {
  return json_response(
      {{"error",
        {{"code", to_string(error.code)}, {"message", error.message}, {"param", error.param}}}},
      http_status(error.code));
}

ordered_json to_json(const std::vector<wire::Slot>& slots) {
  ordered_json out = ordered_json::array();
  for (const wire::Slot& slot : slots) {
    out.push_back({{"request_id", slot.request_id},
                   {"choice", slot.choice},
                   {"state", slot.state},
                   {"prompt_tokens", slot.prompt_tokens},
                   {"cached_tokens", slot.cached_tokens},
                   {"computed_tokens", slot.computed_tokens},
                   {"output_tokens", slot.output_tokens},
                   {"n_blocks", slot.n_blocks}});
  }
  return out;
}

Result<wire::ClearKvCache> clear_verb(const AdminQuery& query) {
  wire::ClearKvCache ask;
  ask.request_id = "admin";
  for (const auto& [name, value] : query) {
    if (name == "scope") {
      ask.scope = value;
    } else if (name == "model") {
      ask.model = value;
    } else if (name == "tenant") {
      ask.tenant = value;
    } else if (name == "cache_salt") {
      ask.cache_salt = value;
    } else {
      return Error{ErrorCode::kInvalidRequest,
                   "the query takes scope, model, tenant and cache_salt", name.substr(0, 64)};
    }
  }
  return ask;
}

ordered_json to_json(const wire::KvCacheCleared& cleared) {
  return {{"n_cleared", cleared.n_cleared},
          {"n_host_cleared", cleared.n_host_cleared},
          {"n_busy", cleared.n_busy},
          {"busy", to_json(cleared.busy)}};
}

ordered_json to_json(const wire::SlotList& list) { return {{"slots", to_json(list.slots)}}; }

// A verb replies on the I/O thread; the admin port's thread writes the JSON.
template <class Answer>
ControlServer::Reply<Answer> as_json(AdminReply reply) {
  return [reply = std::move(reply)](Result<Answer> answer) {
    reply([answer = std::move(answer)] {
      return answer ? json_response(to_json(*answer)) : error_response(answer.error());
    });
  };
}

void clear(NodeServer& server, const AdminQuery& query, AdminReply reply) {
  const Result<wire::ClearKvCache> ask = clear_verb(query);
  if (!ask) return reply([error = ask.error()] { return error_response(error); });
  server.clear(*ask, as_json<wire::KvCacheCleared>(std::move(reply)));
}

AdminResponse describe(const NodeServer& server) {
  return {200, "application/json", wire::description_json(server.describe())};
}

const Error kLoading{ErrorCode::kNoNodeReady, "the model is loading", ""};

}  // namespace

void add_control_routes(AdminRoutes& routes, const std::function<NodeServer*()>& server) {
  const auto loading = [] { return error_response(kLoading); };
  const auto late = [] {
    return error_response(
        {ErrorCode::kOverloaded,
         str("no answer within ", kTimeout.count(), " ms: the engine is in a long step"), ""});
  };
  AdminRoute& clear_route = routes["/v1/clear_kv_cache"];
  clear_route.post = [server, loading](const AdminQuery& query, AdminReply reply) {
    NodeServer* const node = server();
    return node == nullptr ? reply(loading) : clear(*node, query, std::move(reply));
  };
  AdminRoute& slots_route = routes["/v1/slots"];
  slots_route.get = [server, loading](const AdminQuery&, AdminReply reply) {
    NodeServer* const node = server();
    if (node == nullptr) return reply(loading);
    node->slots(wire::SlotsRequest{"admin"}, as_json<wire::SlotList>(std::move(reply)));
  };
  for (AdminRoute* route : {&clear_route, &slots_route}) {
    route->timeout = kTimeout;
    route->late = late;
  }
  routes["/v1/describe"] = [server] {
    const NodeServer* const node = server();
    return node == nullptr ? error_response(kLoading) : describe(*node);
  };
}

}  // namespace lockstep
