#include "coordinator/requests/refusal.h"

#include <utility>

namespace lockstep {

bool is_node_state_error(ErrorCode code) {
  return code == ErrorCode::kOverloaded || code == ErrorCode::kNoNodeReady ||
         code == ErrorCode::kModelNotFound;
}

bool is_length_error(ErrorCode code) {
  return code == ErrorCode::kContextLengthExceeded || code == ErrorCode::kRequestExceedsKvPool;
}

void keep_refusal(std::optional<Error>& kept, Error next) {
  const bool stays =
      kept && kept->code == ErrorCode::kOverloaded && next.code != ErrorCode::kOverloaded;
  if (!stays) kept = std::move(next);
}

}  // namespace lockstep
