// The emulated machine, of which a process has one: what its devices have, how the work on their
// streams runs, and what goes wrong. Tests that open the emulated module in another process choose
// by environment variables.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace lockstep::cuda_emulation {

struct Platform {
  // Work on streams runs when the host asks for it: at a synchronise, at a query of a stream or an
  // event, and at calls that wait. Otherwise it runs as soon as it is queued and all that it waits
  // for is done. LOCKSTEP_EMULATION: lazy, eager.
  bool lazy = false;
  // Device memory can be accessed by the work of streams only. Host code that touches it ends the
  // process with SIGSEGV (device_memory.h); with several ranks, unless another one is running work.
  // LOCKSTEP_EMULATION_GUARD: on, off.
  bool guard = false;
  // LOCKSTEP_EMULATION_DEVICES: 0 to 8.
  int n_devices = 8;
  // Compute capability of each device, 90 for 9.0. LOCKSTEP_EMULATION_CAPABILITY.
  int compute_version = 90;
  // Memory of each device. What is allocated beyond it fails. LOCKSTEP_EMULATION_MEMORY_MIB.
  size_t device_bytes = size_t{1} << 30;

  // A fault of a kernel is an error of its device, as CUDA has it: a line on standard error, and
  // cudaErrorLaunchFailure from the call that runs the kernel and from all later ones. Otherwise it
  // is thrown as a KernelFault. On if LOCKSTEP_EMULATION is set.
  bool faults_are_errors = false;
  // Once this file exists, the next kernel that runs faults. LOCKSTEP_EMULATION_FAULT_FILE.
  std::string fault_file = {};
  // While this file exists, kernels, copies and memsets do not end. LOCKSTEP_EMULATION_HANG_FILE.
  std::string hang_file = {};
};

// By the environment variables named above; variable(name) is "" if it is not set. Throws
// std::invalid_argument with a line that names the variable.
Platform platform_of(const std::function<std::string(const char*)>& variable);

// That of the environment, until it is set. A wrong variable ends the process with status 2.
Platform platform();
// Holds for all calls from now on, by any thread. A device that has failed works again.
void set_platform(const Platform& platform);

}  // namespace lockstep::cuda_emulation
