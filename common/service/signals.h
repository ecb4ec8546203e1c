// TerminationSignals: lets main() wait for SIGTERM and SIGINT instead of installing a signal
// handler, which could interrupt any code. Construct it in main() before any thread starts, because
// threads inherit its signal mask.
#pragma once

#include <chrono>

namespace lockstep {

class TerminationSignals {
 public:
  TerminationSignals();  // blocks both signals and SIGPIPE in this thread and those it starts

  // Returns true if a signal arrived within `timeout`. A second call waits for a second signal.
  bool wait_for(std::chrono::milliseconds timeout);
  void wait();
};

}  // namespace lockstep
