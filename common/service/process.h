// What main() sets up of the whole process before it starts threads: the signals that end it, and
// how malloc treats large blocks.
#pragma once

#include <chrono>
#include <cstddef>

namespace lockstep {

// TerminationSignals: a way to wait for SIGTERM and SIGINT, instead of a handler that may interrupt
// any code. Construct it in main() before any thread starts, because threads inherit its mask.
class TerminationSignals {
 public:
  TerminationSignals();  // blocks both signals and SIGPIPE in this thread and its future threads

  // True if a signal arrived within the time. A second call waits for a second signal.
  bool wait_for(std::chrono::milliseconds timeout);
  void wait();
};

// The size from which a block counts as large, such as a prompt, a body or a frame. Weights and KV
// pool are not affected, because they are never freed.
inline constexpr size_t kLargeBlockBytes = size_t{1} << 20;

// After this call, each large block is mapped by itself and returned to the system when it is
// freed. By default glibc raises its threshold at the first freed block and keeps all blocks up to
// that size (mallopt(3), M_MMAP_THRESHOLD), so that the process would keep the size of one long
// prompt forever. Call once, from main().
void give_back_large_blocks();

}  // namespace lockstep
