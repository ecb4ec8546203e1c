#include "node/engine/sequence/cache_receipt.h"

namespace lockstep {

std::string_view to_string(CacheOutcome outcome) {
  switch (outcome) {
    case CacheOutcome::kOff:
      return "off";
    case CacheOutcome::kHit:
      return "hit";
    case CacheOutcome::kNeverSeen:
      return "never_seen";
    case CacheOutcome::kEvicted:
      return "evicted";
    case CacheOutcome::kNotCommitted:
      return "not_committed";
  }
  return "unknown";
}

}  // namespace lockstep
