// hold_request_bytes: the bytes that a request holds of the budget for bytes in flight
// (max_inflight_bytes) until its final message. Any thread.
#pragma once

#include <memory>

#include "common/memory/byte_budget.h"
#include "common/result.h"
#include "coordinator/requests/client_request.h"

namespace lockstep {

// Reserves the request's encoded size, assuming an upstream id of the maximum length. A null budget
// has no limit; the hold is then empty. Errors: kPayloadTooLarge if no node could decode the
// request or the budget can never hold it, kOverloaded if the budget has no room now.
Result<ByteHold> hold_request_bytes(const ClientRequest& request,
                                    const std::shared_ptr<ByteBudget>& budget);

// The same for a request whose contents have changed and that holds `n_more_bytes` beside them:
// resizes its hold. On an Error the hold is as before.
Status resize_request_bytes(const ClientRequest& request, size_t n_more_bytes, ByteHold& hold);

}  // namespace lockstep
