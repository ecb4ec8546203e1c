// Where a Tokens message stands relative to what its request has already sent. Pure.
#pragma once

#include "coordinator/requests/inflight_table.h"
#include "wire/messages.h"

namespace lockstep {

enum class TokenOrder {
  kNext,   // continues the choice exactly
  kStale,  // all of it was sent before, or it is from an older epoch or attempt
  kBroken  // tokens are missing before it, or the choice does not exist
};

TokenOrder token_order(const Inflight& request, const wire::Tokens& tokens);

}  // namespace lockstep
