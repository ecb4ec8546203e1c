// The control verbs on a node's admin port, as JSON:
//   POST /v1/clear_kv_cache?scope=all | scope=model&model=M
//     | scope=tenant&tenant=T | scope=salt&cache_salt=S
//   GET /v1/slots    GET /v1/describe
// The engine answers between two turns. A request times out after ten seconds; the verb still takes
// effect.
#pragma once

#include <functional>

#include "common/service/http/admin_http.h"
#include "node/service/server/node_server.h"

namespace lockstep {

// `server` returns null while the model is loading; the verbs then answer with a 503.
void add_control_routes(AdminRoutes& routes, const std::function<NodeServer*()>& server);

}  // namespace lockstep
