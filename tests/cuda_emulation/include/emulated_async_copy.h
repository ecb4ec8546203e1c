// cp.async of kernels/cuda/device/async_copy.cuh, over the emulator. A device may do a copy at any
// time between its start and the wait for its group. The emulator does it as late as it may, so a
// missing wait leaves the old bytes; with set_early_copies(true) it does it at once, so a copy into
// bytes that another thread still reads shows as well.
#pragma once

#include <cstddef>

namespace lockstep::cuda_emulation {

// Of all launches from now on, in this OS thread.
void set_early_copies(bool early);

// Each kernel thread has a queue of its own. Both addresses must be multiples of n_bytes (4, 8
// or 16).
void start_copy(void* to, const void* from, int n_bytes);
void commit_copies();                // closes the group of the copies started since the last call
void wait_for_copies(int n_groups);  // does all groups but the last n_groups

// Forgets all copies in flight: a new block begins.
void reset_copies(std::size_t n_threads);

}  // namespace lockstep::cuda_emulation
