// explain_match: why a request found as much in the prefix cache as it did, and not more. Engine
// thread only.
#pragma once

#include "common/clock.h"
#include "node/engine/sequence/cache_receipt.h"
#include "node/kv/report/cache_history.h"

namespace lockstep {

class Scheduler;
class Sequence;

// `sequence` is the request's first choice, and was admitted just now.
CacheReceipt explain_match(const Sequence& sequence, const Scheduler& scheduler,
                           const CacheHistory& history, Clock::TimePoint now);

}  // namespace lockstep
