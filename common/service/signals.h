// TerminationSignals: a way to wait for SIGTERM and SIGINT, instead of a handler that may interrupt
// any code. Construct it in main() before any thread starts, because threads inherit its mask.
#pragma once

#include <chrono>

namespace lockstep {

class TerminationSignals {
 public:
  TerminationSignals();  // blocks both signals and SIGPIPE in this thread and its future threads

  // True if a signal arrived within the time. A second call waits for a second signal.
  bool wait_for(std::chrono::milliseconds timeout);
  void wait();
};

}  // namespace lockstep
