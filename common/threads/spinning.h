// Spinning: decides whether a thread that waits for another thread of its process should poll for a
// while before it sleeps. Polling pays only while every thread can have a processor; otherwise the
// other thread may need the processor that the waiting thread polls on.
#pragma once

#include "common/machine.h"

namespace lockstep {

// `n_threads`: the number of the process's threads that compute and wait for each other.
inline bool pays_to_spin(int n_threads) { return n_threads <= available_cpus(); }

}  // namespace lockstep
