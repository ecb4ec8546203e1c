#include "node/service/control_pages.h"

#include <nlohmann/json.hpp>

#include "wire/description_json.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

constexpr std::chrono::milliseconds kPatience{1000};

AdminResponse json_response(const ordered_json& body, int status = 200) {
  return {status, "application/json",
          body.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n"};
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

AdminResponse clear(NodeServer& server, const AdminQuery& query) {
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
      return error_response({ErrorCode::kInvalidRequest,
                             "the query takes scope, model, tenant and cache_salt",
                             name.substr(0, 64)});
    }
  }
  const Result<wire::KvCacheCleared> cleared = server.wait_clear(ask, kPatience);
  if (!cleared) return error_response(cleared.error());
  return json_response({{"n_cleared", cleared->n_cleared},
                        {"n_host_cleared", cleared->n_host_cleared},
                        {"n_busy", cleared->n_busy},
                        {"busy", to_json(cleared->busy)}});
}

AdminResponse slots(NodeServer& server) {
  const Result<wire::SlotList> list = server.wait_slots(wire::SlotsRequest{"admin"}, kPatience);
  if (!list) return error_response(list.error());
  return json_response({{"slots", to_json(list->slots)}});
}

AdminResponse describe(const NodeServer& server) {
  return {200, "application/json", wire::description_json(server.describe())};
}

const Error kLoading{ErrorCode::kNoNodeReady, "the model is loading", ""};

}  // namespace

void add_control_routes(AdminRoutes& routes, std::function<NodeServer*()> server) {
  routes["/v1/clear_kv_cache"].post = [server](const AdminQuery& query) {
    NodeServer* const node = server();
    return node == nullptr ? error_response(kLoading) : clear(*node, query);
  };
  routes["/v1/slots"] = [server] {
    NodeServer* const node = server();
    return node == nullptr ? error_response(kLoading) : slots(*node);
  };
  routes["/v1/describe"] = [server] {
    const NodeServer* const node = server();
    return node == nullptr ? error_response(kLoading) : describe(*node);
  };
}

}  // namespace lockstep
