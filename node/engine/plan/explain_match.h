// explain_match: makes the CacheReceipt of a request: how much of its prompt the prefix cache had,
// and why not more. Engine thread only.
#pragma once

#include "common/clock.h"
#include "node/engine/sequence/cache_receipt.h"
#include "node/kv/report/cache_history.h"

namespace lockstep {

class Scheduler;
class Sequence;

// `sequence` is the request's lead choice and has just been admitted for the first time.
CacheReceipt explain_match(const Sequence& sequence, const Scheduler& scheduler,
                           const CacheHistory& history, Clock::TimePoint now);

}  // namespace lockstep
