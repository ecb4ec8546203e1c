// routes_page: the answer of /v1/routes/REQUEST_ID on the admin port: why a request went to its
// nodes. docs/routing.md describes it. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/service/http/admin_http.h"
#include "coordinator/route/route_log.h"

namespace lockstep {

// A JSON object with `request_id` and `routes`, one for each prompt and attempt; 404 if there are
// none.
AdminResponse routes_page(const std::string& request_id,
                          const std::vector<RouteDecision>& decisions);

}  // namespace lockstep
