#include "common/service/process.h"

#include <csignal>
#include <ctime>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace lockstep {
namespace {

sigset_t termination_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

TerminationSignals::TerminationSignals() {
  sigset_t blocked = termination_set();
  sigaddset(&blocked, SIGPIPE);  // a write to a closed connection then returns an error
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
}

bool TerminationSignals::wait_for(std::chrono::milliseconds timeout) {
  const sigset_t set = termination_set();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  const timespec limit{seconds.count(), std::chrono::nanoseconds(timeout - seconds).count()};
  return sigtimedwait(&set, nullptr, &limit) > 0;
}

void TerminationSignals::wait() {
  const sigset_t set = termination_set();
  int signal = 0;
  while (sigwait(&set, &signal) != 0) {
  }
}

void give_back_large_blocks() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(kLargeBlockBytes));
#endif
}

}  // namespace lockstep
