// The emulated machine, of which a process has one: what its devices have, and how the work on
// their streams runs.
#pragma once

#include <cstddef>

namespace lockstep::cuda_emulation {

struct Platform {
  // Work on streams runs when the host asks for it: at a synchronise, at a query of a stream or an
  // event, and at calls that wait. Otherwise it runs as soon as it is queued and all that it waits
  // for is done.
  bool lazy = false;
  // Device memory can be accessed by the work of streams only. Host code that touches it ends the
  // process with SIGSEGV (device_memory.h); with several ranks, unless another one is running work.
  bool guard = false;
  // Memory of each device. What is allocated beyond it fails.
  size_t device_bytes = size_t{1} << 30;
};

// Holds for all calls from now on, by any thread.
void set_platform(const Platform& platform);
Platform platform();

}  // namespace lockstep::cuda_emulation
