// The emulated machine, of which a process has one: how the work on its streams runs.
#pragma once

namespace lockstep::cuda_emulation {

struct Platform {
  // Work on streams runs when the host asks for it: at a synchronise, at a query of a stream or an
  // event, and at calls that wait. Otherwise it runs as soon as it is queued and all that it waits
  // for is done.
  bool lazy = false;
};

// Holds for the work that is queued from now on, by any thread.
void set_platform(const Platform& platform);
Platform platform();

}  // namespace lockstep::cuda_emulation
