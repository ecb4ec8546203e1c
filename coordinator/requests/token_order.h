// token_order: compares the position of a Tokens message with the tokens that were already sent to
// the client. Pure.
#pragma once

#include "coordinator/requests/inflight_table.h"
#include "wire/messages.h"

namespace lockstep {

enum class TokenOrder {
  kNext,   // the message continues the choice exactly
  kStale,  // all its tokens were sent before, or it is from an older epoch or attempt
  kBroken  // tokens before the message are missing, or the choice does not exist
};

TokenOrder token_order(const Inflight& request, const wire::Tokens& tokens);

}  // namespace lockstep
