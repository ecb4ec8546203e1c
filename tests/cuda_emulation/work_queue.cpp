#include "tests/cuda_emulation/work_queue.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/device_memory.h"
#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/platform.h"

namespace lockstep::cuda_emulation {
namespace {

// A thread that waits for another rank's leaves it the core.
constexpr int kEagerTries = 200;
constexpr std::chrono::microseconds kPause{50};

std::mutex mutex;
// guarded by mutex
std::map<int, std::vector<std::weak_ptr<WorkQueue>>> queues;  // of each device
std::set<int> failed;                                         // devices

void fail(int device, const KernelFault& fault) {
  const std::lock_guard lock(mutex);
  failed.insert(device);
  std::fprintf(stderr, "emulated CUDA: device %d: %s\n", device, fault.what());
}

}  // namespace

void WorkQueue::push(std::function<bool()> work) {
  const std::lock_guard lock(mutex_);
  work_.push_back(std::move(work));
  ++n_pushed_;
}

uint64_t WorkQueue::n_pushed() const {
  const std::lock_guard lock(mutex_);
  return n_pushed_;
}

bool WorkQueue::run_to(uint64_t n) {
  std::unique_lock lock(mutex_);
  if (has_failed(device_) && !runs_) drop_all();
  if (n_done_ >= n || runs_) return n_done_ >= n;
  const DeviceAccess access;
  while (n_done_ < n && !runs_) {
    if (!run_front(lock)) break;
  }
  return n_done_ >= n;
}

void WorkQueue::drop_all() {
  work_.clear();
  n_done_ = n_pushed_;
}

// Whether the front piece of work is done.
bool WorkQueue::run_front(std::unique_lock<std::mutex>& lock) {
  std::function<bool()>& front = work_.front();  // stays where it is while others push
  bool done = false;
  runs_ = true;
  lock.unlock();
  try {
    done = front();
  } catch (const KernelFault& fault) {
    lock.lock();
    runs_ = false;
    drop_all();
    if (!platform().faults_are_errors) throw;
    fail(device_, fault);
    return true;
  }
  lock.lock();
  runs_ = false;
  if (done) {
    work_.pop_front();
    ++n_done_;
  }
  return done;
}

void wait_for(const QueuePosition& position) {
  if (position.queue == nullptr) return;
  for (int n_tries = 0; !position.queue->run_to(position.n); ++n_tries) {
    if (n_tries < kEagerTries) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kPause);
    }
  }
}

bool has_failed(int device) {
  const std::lock_guard lock(mutex);
  return failed.contains(device);
}

void repair_devices() {
  const std::lock_guard lock(mutex);
  failed.clear();
}

void add_queue(int device, const std::shared_ptr<WorkQueue>& queue) {
  const std::lock_guard lock(mutex);
  std::erase_if(queues[device], [](const auto& known) { return known.expired(); });
  queues[device].push_back(queue);
}

void wait_for_device(int device) {
  std::vector<std::weak_ptr<WorkQueue>> all;
  {
    const std::lock_guard lock(mutex);
    all = queues[device];
  }
  for (const auto& known : all) {
    if (const auto queue = known.lock()) wait_for({queue, queue->n_pushed()});
  }
}

}  // namespace lockstep::cuda_emulation
