#include "node/engine/sequence/request.h"

namespace lockstep {

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "?";
}

std::optional<FinishReason> finish_reason_from_string(std::string_view name) {
  for (const FinishReason reason : {FinishReason::kStop, FinishReason::kLength,
                                    FinishReason::kCancelled, FinishReason::kError}) {
    if (to_string(reason) == name) return reason;
  }
  return std::nullopt;
}

}  // namespace lockstep
