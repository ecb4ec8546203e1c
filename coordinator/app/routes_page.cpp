#include "coordinator/app/routes_page.h"

#include <nlohmann/json.hpp>

namespace lockstep {

AdminResponse routes_page(const std::string& request_id,
                          const std::vector<RouteDecision>& decisions) {
  if (decisions.empty())
    return {404, "text/plain; charset=utf-8",
            "no route of this request among the last " + std::to_string(RouteLog::kMaxDecisions) +
                " routes of this coordinator\n"};
  using nlohmann::ordered_json;
  std::string routes;
  for (const RouteDecision& decision : decisions)
    routes += (routes.empty() ? "" : ",") + route_receipt(decision);
  const std::string id =
      ordered_json(request_id).dump(-1, ' ', true, ordered_json::error_handler_t::replace);
  return {200, "application/json", "{\"request_id\":" + id + ",\"routes\":[" + routes + "]}\n"};
}

}  // namespace lockstep
