// Fault points: named places where a test build can be made to fail, or to have a bug that other
// engines had (a mutant), so that tests can show that they detect it.
//
//   if (fault(Fault::kRankThrows, step)) throw std::runtime_error("fault point");
//
// With the CMake option LOCKSTEP_FAULT_POINTS, a point that is not armed costs one relaxed load;
// points are placed at calls, never in inner loops. Without the option, as in every released
// binary, fault() is the constant false and no fault point is compiled in. Any thread.
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
  // Failures of a node. "By step": the call passes the step's number, and FaultRange selects by it.
  kAllocatorRefuses,  // an allocation of KV blocks fails
  kRankThrows,        // by step: the last rank throws in its last layer
  kRankIsLate,        // by step: the last rank is late, by less than the others' timeout
  kRankStalls,        // by step: the last rank is late, by more than the others' timeout
  kRowIsNan,          // by step: the first sampled row is NaN from its first attention on
  kKeyIsNan,          // by step: a key of the last rank's first row is NaN in its last layer
  kSlowCopies,        // copying blocks is slow
  kHostBitFlip,       // a bit of a block in host memory is flipped
  kThreadRefused,     // the system refuses to start a thread

  // Mutants of the forward pass.
  kLastTokenOnly,   // a decoding sequence with several new tokens computes only the last one
  kMaskDropped,     // with a past, every row of a chunk attends to the whole chunk
  kPositionReset,   // positions begin at 0 in every step
  kOldLengthKept,   // attention still sees the keys of a slot's previous sequence
  kSquareMask,      // a chunk's mask begins at key 0, regardless of its past
  kCopyLayerZero,   // copying a block copies layer 0 only
  kClearLayerZero,  // clearing a freed block clears layer 0 only
  // Mutants of the accounting.
  kFreedEarly,            // a sequence that ends frees blocks that a step in flight writes to
  kFreedNotPoisoned,      // --sanitize-kv does not fill freed blocks
  kCachedFromProcessed,   // cached = prompt - tokens of the first step
  kCachedFromPast,        // cached = past - processed, and the past is lost when blocks are freed
  kCachedLessDiscarded,   // a context shift subtracts the dropped tokens from the cached tokens
  kPublishedWhenPlanned,  // other sequences can use blocks before they are computed
  kHostNotVerified,       // blocks in host memory are used without being verified
  kRankConfiguredOtherwise,    // by rank: a rank is configured with the opposite of --no-kv-cache
  kEngineConfiguredOtherwise,  // the engine is configured with the opposite of --no-kv-cache
  kSettingsNotCompared,        // the settings of engine and ranks are not compared
  // Mutants of resuming a stream.
  kEmittedIdLost,        // the next node does not get the last output that the client has
  kEmittedIdTwice,       // the next node gets the last output that the client has twice
  kZombieLetThrough,     // tokens of an earlier epoch or attempt are taken
  kResumeIndexFromZero,  // a resumed choice draws the random numbers of its first outputs
  kStopCutAtSeam,        // a resumed choice forgets text that may begin a stop string
  kCount,
};
inline constexpr int kNFaults = static_cast<int>(Fault::kCount);

#ifdef LOCKSTEP_FAULT_POINTS

inline constexpr bool kFaultPoints = true;

const char* to_string(Fault fault);  // "rank-throws"

// The calls at which an armed point fires: from `first` to `last`, counted from 1. For a point that
// passes a number, the range is of that number.
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

// ArmedFault: arms a fault point for its own lifetime. At most one may exist per fault.
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

// Removes every --fault NAME[=FIRST[..LAST]] from the command line and arms the fault until the
// process ends. The error lists the valid names.
Status take_fault_flags(int& argc, char** argv);

#else

inline constexpr bool kFaultPoints = false;
constexpr bool is_armed(Fault) { return false; }
constexpr bool fault(Fault) { return false; }
constexpr bool fault(Fault, uint64_t) { return false; }
// Leaves the flag on the command line, so that the program refuses it.
inline Status take_fault_flags(int&, char**) { return Ok{}; }

#endif

}  // namespace lockstep
