// TerminationSignals: SIGTERM and SIGINT as something to wait for, instead of a handler that may
// interrupt anything. Make one in main() before any thread starts; its mask is inherited.
#pragma once

#include <chrono>

namespace lockstep {

class TerminationSignals {
 public:
  TerminationSignals();  // blocks both signals and SIGPIPE in this thread and those it starts

  // True if one arrived within the time. A second call waits for a second signal.
  bool wait_for(std::chrono::milliseconds timeout);
  void wait();
};

}  // namespace lockstep
