// Communicator: what tensor-parallel ranks say to each other. One object per rank, used by that
// rank's thread only; every rank of a group makes the same calls in the same order. No call waits
// without end; once one call has failed, the group is aborted and all later calls fail at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace lockstep {

enum class CommResult : uint8_t {
  kOk,
  kTimeout,   // a peer did not arrive in time
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

// How long a rank of make_local_group() waits for its peers: until nothing has moved for n_ticks of
// the ticks that it counts itself, so that neither work that takes long nor a process that was
// stopped for a while is a timeout.
struct StallTimeout {
  std::chrono::milliseconds tick{100};
  int n_ticks = 50;
  std::function<uint64_t()>
      progress;  // moves while any rank works; any thread. Empty: it never does
};

// Ranks as threads of one process. Each call's wait for its peers spins first if the process has a
// processor for each of `n_threads_in_process`, the ranks' teams included.
std::vector<std::unique_ptr<Communicator>> make_local_group(int n_ranks,
                                                            const StallTimeout& timeout,
                                                            int n_threads_in_process = 1);

}  // namespace lockstep
