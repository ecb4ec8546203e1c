#include "coordinator/index/kv_resync.h"

#include <array>

namespace lockstep {
namespace {

constexpr std::array<const char*, kKvResyncCauses> kCauseNames = {
    "start", "gap",           "lag",           "history",   "digest",
    "epoch", "unknown_block", "over_capacity", "malformed", "no_answer"};

}  // namespace

const char* cause_name(KvResyncCause cause) { return kCauseNames[static_cast<size_t>(cause)]; }

}  // namespace lockstep
