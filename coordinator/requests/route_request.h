// route_request: what the router needs to know of a request in flight. Pure; any thread.
#pragma once

#include "coordinator/requests/inflight.h"
#include "coordinator/route/router.h"

namespace lockstep {

// Valid as long as the request's prompt.
RouteRequest route_request(const Inflight& request);

}  // namespace lockstep
