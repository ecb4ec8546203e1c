// The control verbs on a node's admin port, as JSON:
//   POST /v1/clear_kv_cache?scope=all | scope=model&model=M
//     | scope=tenant&tenant=T | scope=salt&cache_salt=S
//   GET /v1/slots    GET /v1/describe
// Each waits a moment for the engine, because the port answers probes too.
#pragma once

#include <functional>

#include "common/service/admin_http.h"
#include "node/service/node_server.h"

namespace lockstep {

// `server` gives null while the model is loading; then the verbs answer 503.
void add_control_routes(AdminRoutes& routes, std::function<NodeServer*()> server);

}  // namespace lockstep
