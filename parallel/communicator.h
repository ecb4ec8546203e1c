// Communicator: what tensor-parallel ranks say to each other. One object per rank, used by that
// rank's thread only; every rank of a group makes the same calls in the same order. Every call has
// a deadline; once one call has failed, the group is aborted and all later calls fail at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace lockstep {

enum class CommResult : uint8_t {
  kOk,
  kTimeout,   // a peer did not arrive before the deadline
  kAborted,   // the group was aborted, here or by a peer
  kMismatch,  // the ranks disagree about the value they were to agree on
};
const char* to_string(CommResult result);

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Every rank's `mine` (equal shapes, dense) ends in every rank's `all`, ordered by rank.
  // mine: [n, ...] f32 or i32; all: [size() * n, ...] of the same type.
  [[nodiscard]] virtual CommResult all_gather(const View& mine, const View& all,
                                              Stream& stream) = 0;
  // The root's data ends in every rank's `data` (dense).
  [[nodiscard]] virtual CommResult broadcast(const View& data, int root, Stream& stream) = 0;
  // kMismatch on every rank unless all brought the same value: the plan digest, before a step.
  [[nodiscard]] virtual CommResult agree(uint64_t value) = 0;
  [[nodiscard]] virtual CommResult barrier() = 0;
  // Makes every pending and later call of every rank fail. Any thread.
  virtual void abort() = 0;
};

// Ranks as threads of one process. `deadline` bounds each call's wait for its peers, which spins
// first if the process has a processor for each of `n_threads_in_process`, the ranks' teams
// included.
std::vector<std::unique_ptr<Communicator>> make_local_group(int n_ranks,
                                                            std::chrono::milliseconds deadline,
                                                            int n_threads_in_process = 1);

}  // namespace lockstep
