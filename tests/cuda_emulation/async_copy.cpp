#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/include/emulated_async_copy.h"

namespace lockstep::cuda_emulation {
namespace {

struct Copy {
  void* to;
  const void* from;
  int n_bytes;
  void run() const { std::memcpy(to, from, static_cast<size_t>(n_bytes)); }
};

struct ThreadCopies {
  std::vector<Copy> open;                // started, in no group yet
  std::deque<std::vector<Copy>> groups;  // the oldest first
};

thread_local bool early_copies = false;
thread_local std::vector<ThreadCopies> threads;

ThreadCopies& mine() {
  return threads[threadIdx.x + blockDim.x * (threadIdx.y + size_t{blockDim.y} * threadIdx.z)];
}

}  // namespace

void set_early_copies(bool early) { early_copies = early; }

void start_copy(void* to, const void* from, int n_bytes) {
  if (n_bytes != 4 && n_bytes != 8 && n_bytes != 16) trap("cp.async of so many bytes");
  const auto size = static_cast<uintptr_t>(n_bytes);
  if (reinterpret_cast<uintptr_t>(to) % size != 0 || reinterpret_cast<uintptr_t>(from) % size != 0)
    trap("cp.async at an unaligned address");
  const Copy copy{to, from, n_bytes};
  if (early_copies) return copy.run();
  mine().open.push_back(copy);
}

void commit_copies() {
  mine().groups.push_back(std::move(mine().open));
  mine().open.clear();
}

void wait_for_copies(int n_groups) {
  std::deque<std::vector<Copy>>& groups = mine().groups;
  for (; std::ssize(groups) > n_groups; groups.pop_front()) {
    for (const Copy& copy : groups.front()) copy.run();
  }
}

void reset_copies(size_t n_threads) {
  if (threads.size() < n_threads) threads.resize(n_threads);
  for (ThreadCopies& thread : threads) {
    thread.open.clear();
    thread.groups.clear();
  }
}

}  // namespace lockstep::cuda_emulation
