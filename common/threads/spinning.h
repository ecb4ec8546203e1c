// Spinning: whether a thread that waits for another of its process should poll for a while before
// it sleeps. Only while every thread can have a processor: else the one that is waited for may need
// the very processor that the other one polls on.
#pragma once

#include "common/machine.h"

namespace lockstep {

// n_threads: all of the process that compute and wait for each other.
inline bool pays_to_spin(int n_threads) { return n_threads <= available_cpus(); }

}  // namespace lockstep
