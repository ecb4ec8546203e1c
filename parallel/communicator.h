// Communicator: the collectives of tensor-parallel ranks. One object per rank, used by that rank's
// thread only. Every rank of a group must make the same calls in the same order. Collectives of
// Views are queued on the rank's stream, as ops are; between CPUs they are done on return. Every
// wait has a timeout. Once one call has failed, all_true() excepted, the group is aborted and all
// later calls fail at once.
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
  kTimeout,   // another rank did not arrive in time
  kAborted,   // this or another rank has aborted the group
  kMismatch,  // the ranks gave different values to agree(), or one gave false to all_true()
};
const char* to_string(CommResult result);

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Copies `mine` of every rank (equal shapes, dense) into `all` of every rank, ordered by rank.
  // mine: [n, ...] f32 or i32; all: [size() * n, ...] of the same type.
  [[nodiscard]] virtual CommResult all_gather(const View& mine, const View& all,
                                              Stream& stream) = 0;
  // Copies `data` of the root into `data` of every rank (dense). kOk of the two means queued: the
  // values are there when the stream has passed the call and check() still gives kOk.
  [[nodiscard]] virtual CommResult broadcast(const View& data, int root, Stream& stream) = 0;
  // Checks that every rank gives the same value; otherwise every rank gets kMismatch. Used before a
  // step with the digest of its plan.
  [[nodiscard]] virtual CommResult agree(uint64_t value) = 0;
  // Checks that every rank gives true; otherwise every rank gets kMismatch, after which the group,
  // unlike after any other failure, works as before.
  [[nodiscard]] virtual CommResult all_true(bool mine) = 0;
  [[nodiscard]] virtual CommResult barrier() = 0;
  // Returns kOk while what is queued on this rank's stream can still be done, and otherwise why it
  // cannot: kTimeout if no rank has made progress for the group's timeout. To be polled while the
  // rank waits for its stream. After a failure, collectives no longer hold up the stream.
  [[nodiscard]] virtual CommResult check() = 0;
  // Makes every pending and every later call of every rank fail. Any thread.
  virtual void abort() = 0;
};

// The timeout of the ranks of make_local_group(). A rank stops waiting for the others when
// `progress` has not moved for n_ticks of the ticks that the rank counts itself. So neither a long
// piece of work nor a process that was stopped for a while is a timeout.
struct StallTimeout {
  std::chrono::milliseconds tick{100};
  int n_ticks = 50;
  std::function<uint64_t()>
      progress;  // moves while any rank works; called on any thread. Empty = it never moves
};

// A group whose ranks are threads of one process. A rank that waits spins first if the process has
// a processor for each of `n_threads_in_process` threads, the teams of the ranks included.
std::vector<std::unique_ptr<Communicator>> make_local_group(int n_ranks,
                                                            const StallTimeout& timeout,
                                                            int n_threads_in_process = 1);

}  // namespace lockstep
