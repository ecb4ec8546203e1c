// The faults that tests set in the emulated NCCL, and the counts that they read from it. Its
// library is opened at run time like the real one, so tests find these two functions by name.
#pragma once

namespace lockstep::nccl_emulation {

struct Faults {
  int version = 22809;
  // Times that a communicator says ncclInProgress after each call that may take a while. 0: what
  // is issued is on the stream at once, and ncclSuccess is returned.
  int n_polls = 3;
  bool no_unique_id = false;

  // The faults below hit this rank; -1: every rank.
  int rank = -1;
  int join_result = 0;  // an ncclResult_t that ncclCommInitRankConfig returns at once
  bool joining_never_ends = false;
  int issue_result = 0;             // an ncclResult_t that collectives return at once
  bool issuing_never_ends = false;  // collectives stay ncclInProgress and never reach the stream
  int async_error = 0;              // an ncclResult_t that shows up while a collective runs
  int n_slow_polls = 0;             // of the stream, for which its part of a collective is not done
  bool finalizing_never_ends = false;
  // Until the faults change; what its last collective receives into is written to all that time.
  bool abort_never_returns = false;
  bool destroying_never_returns = false;  // until the faults change
  // As between hosts: when one rank aborts, the others get ncclRemoteError.
  bool others_notice = false;
};

struct Stats {
  int n_live = 0;  // communicators not yet destroyed or aborted
  int n_destroyed = 0;
  int n_gathers = 0;
  int n_broadcasts = 0;
  int n_aborted = 0;
  int n_state_polls = 0;  // calls of ncclCommGetAsyncError
  int n_intrusions = 0;   // calls on a communicator while another thread was inside it
};

using SetFaults = void(const Faults& faults);  // "nccl_emulation_set_faults"
using GetStats = Stats();                      // "nccl_emulation_stats"

}  // namespace lockstep::nccl_emulation
