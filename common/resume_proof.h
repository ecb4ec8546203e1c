// kResumeProof: a constant of resumed requests that nodes and coordinators share.
#pragma once

#include <cstddef>

namespace lockstep {

// A resumed choice samples so many of its last emitted tokens again, as proof that its output goes
// on as it began; all of them if there are fewer.
inline constexpr size_t kResumeProof = 8;

}  // namespace lockstep
