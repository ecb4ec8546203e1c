// EmulatedNccl: opens the emulated CUDA module and NCCL (tests/nccl_emulation) and sets the faults
// that a test needs. The destructor removes the faults.
#pragma once

#include <dlfcn.h>

#include <memory>
#include <utility>

#include "common/check.h"
#include "common/load_error.h"
#include "parallel/nccl/nccl_group.h"
#include "tests/nccl_emulation/faults.h"

namespace lockstep::testing {

class EmulatedNccl {
 public:
  EmulatedNccl()
      : module_(value_or_throw(CudaModule::load(LOCKSTEP_EMULATED_CUDA))),
        handle_(dlopen(LOCKSTEP_EMULATED_NCCL, RTLD_NOW | RTLD_LOCAL)) {
    CHECK(handle_ != nullptr);
    set({});
    before_ = total();
    library_ = value_or_throw(open_nccl(module_, LOCKSTEP_EMULATED_NCCL));
  }
  ~EmulatedNccl() { set({}); }
  EmulatedNccl(const EmulatedNccl&) = delete;
  EmulatedNccl& operator=(const EmulatedNccl&) = delete;

  void set(const nccl_emulation::Faults& faults) const {
    reinterpret_cast<nccl_emulation::SetFaults*>(dlsym(handle_, "nccl_emulation_set_faults"))(
        faults);
  }
  // The counts since the construction of this object.
  nccl_emulation::Stats stats() const {
    nccl_emulation::Stats stats = total();
    stats.n_destroyed -= before_.n_destroyed;
    stats.n_aborted -= before_.n_aborted;
    stats.n_intrusions -= before_.n_intrusions;
    stats.n_gathers -= before_.n_gathers;
    stats.n_broadcasts -= before_.n_broadcasts;
    stats.n_state_polls -= before_.n_state_polls;
    return stats;
  }

  const CudaModule& module() const { return module_; }
  const NcclLibrary& library() const { return *library_; }

 private:
  nccl_emulation::Stats total() const {
    return reinterpret_cast<nccl_emulation::GetStats*>(dlsym(handle_, "nccl_emulation_stats"))();
  }

  const CudaModule module_;
  void* const handle_;
  nccl_emulation::Stats before_;
  std::unique_ptr<NcclLibrary> library_;
};

}  // namespace lockstep::testing
