// Fault points: named places where a test build can be made to fail, or to have a bug that other
// engines had (a mutant), so that tests can show that they would notice.
//
//   if (fault(Fault::kRankThrows, step)) throw std::runtime_error("fault point");
//
// With the CMake option LOCKSTEP_FAULT_POINTS a point that is not armed costs one relaxed load; it
// stands at a call, never in an inner loop. Without the option, as in everything that is shipped,
// fault() is a constant false and nothing of this is in the binary. Any thread.
#pragma once

#include <cstdint>

#include "common/result.h"

#ifdef LOCKSTEP_FAULT_POINTS
#include <array>
#include <atomic>
#include <limits>
#include <optional>
#include <string>
#endif

namespace lockstep {

enum class Fault : uint8_t {
  // What may befall a node. "By step" = the point gives the step's number.
  kAllocatorRefuses,  // a question for KV blocks is answered with no
  kRankThrows,        // by step: the last rank, in its last layer
  kRankIsLate,        // by step: the last rank, but less than its peers' timeout
  kRankStalls,        // by step: the last rank, for longer than its peers wait
  kRowIsNan,          // by step: the first sampled row, from its first attention on
  kKeyIsNan,          // by step: of the last rank's first row, in its last layer
  kSlowCopies,        // copying blocks takes its time
  kHostBitFlip,       // a block in host memory has lost a bit
  kThreadRefused,     // the system starts no thread

  // Mutants of the forward pass.
  kLastTokenOnly,   // what is computed anew for each token is only the last one
  kMaskDropped,     // with a past, every row of a chunk sees all of the chunk
  kPositionReset,   // positions begin at 0 with every step
  kOldLengthKept,   // what a slot held before is still seen
  kSquareMask,      // a chunk's mask begins at key 0, whatever came before it
  kCopyLayerZero,   // of a block only layer 0 is copied
  kClearLayerZero,  // of a freed block only layer 0 is cleared
  // Mutants of the accounts.
  kFreedEarly,            // a sequence that ends gives back blocks that a step in flight writes to
  kFreedNotPoisoned,      // --sanitize-kv fills nothing
  kCachedFromProcessed,   // cached = prompt - what the first step took
  kCachedFromPast,        // cached = past - processed, and the past is forgotten when blocks go
  kCachedLessDiscarded,   // a context shift takes what it drops off the cached tokens
  kPublishedWhenPlanned,  // blocks are there for others before they are computed
  kHostNotVerified,       // what host memory holds is believed
  kRankConfiguredOtherwise,    // by rank: it is told the opposite of --no-kv-cache
  kEngineConfiguredOtherwise,  // the engine is
  kSettingsNotCompared,        // and nobody notices
  kCount,
};
inline constexpr int kNFaults = static_cast<int>(Fault::kCount);

#ifdef LOCKSTEP_FAULT_POINTS

inline constexpr bool kFaultPoints = true;

const char* to_string(Fault fault);  // "rank-throws"

// When an armed point fires: from its first to its last call, counted from 1; a point that gives a
// number goes by that.
struct FaultRange {
  uint64_t first = 0;
  uint64_t last = std::numeric_limits<uint64_t>::max();
};

namespace fault_points {
struct Point {
  std::atomic<bool> is_armed{false};
  std::atomic<uint64_t> first{0}, last{0};
  std::atomic<uint64_t> n_asked{0}, n_fired{0};
};
extern std::array<Point, kNFaults> points;
bool fires(Point& point, std::optional<uint64_t> number);
}  // namespace fault_points

inline bool is_armed(Fault which) {
  return fault_points::points[static_cast<size_t>(which)].is_armed.load(std::memory_order_relaxed);
}
inline bool fault(Fault which) {
  return is_armed(which) && fires(fault_points::points[static_cast<size_t>(which)], std::nullopt);
}
inline bool fault(Fault which, uint64_t number) {
  return is_armed(which) && fires(fault_points::points[static_cast<size_t>(which)], number);
}

// Armed while it lives; at most one per fault.
class ArmedFault {
 public:
  explicit ArmedFault(Fault which, const FaultRange& range = {});
  ArmedFault(Fault which, uint64_t at) : ArmedFault(which, {at, at}) {}
  ~ArmedFault();
  ArmedFault(const ArmedFault&) = delete;
  ArmedFault& operator=(const ArmedFault&) = delete;

  uint64_t n_asked() const { return point_.n_asked; }
  uint64_t n_fired() const { return point_.n_fired; }

 private:
  fault_points::Point& point_;
};

// Takes every --fault NAME[=FIRST[..LAST]] off the command line and arms it until the process ends.
// The error lists the names there are.
Status take_fault_flags(int& argc, char** argv);

#else

inline constexpr bool kFaultPoints = false;
constexpr bool is_armed(Fault) { return false; }
constexpr bool fault(Fault) { return false; }
constexpr bool fault(Fault, uint64_t) { return false; }
// The flag stays, for the program to refuse.
inline Status take_fault_flags(int&, char**) { return Ok{}; }

#endif

}  // namespace lockstep
