#include "tests/cuda_emulation/work_queue.h"

#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/device_memory.h"

namespace lockstep::cuda_emulation {

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
  if (n_done_ >= n || runs_) return n_done_ >= n;
  const DeviceAccess access;
  while (n_done_ < n && !runs_) {
    if (!run_front(lock)) break;
  }
  return n_done_ >= n;
}

// Whether the front piece of work is done.
bool WorkQueue::run_front(std::unique_lock<std::mutex>& lock) {
  std::function<bool()>& front = work_.front();  // stays where it is while others push
  bool done = false;
  runs_ = true;
  lock.unlock();
  try {
    done = front();
  } catch (...) {
    lock.lock();
    runs_ = false;
    work_.clear();
    n_done_ = n_pushed_;
    throw;
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
  while (!position.queue->run_to(position.n)) std::this_thread::yield();
}

namespace {

std::mutex mutex;
std::map<int, std::vector<std::weak_ptr<WorkQueue>>> queues;  // of each device; guarded by mutex

}  // namespace

void add_queue(int device, const std::shared_ptr<WorkQueue>& queue) {
  const std::lock_guard lock(mutex);
  std::erase_if(queues[device], [](const auto& known) { return known.expired(); });
  queues[device].push_back(queue);
}

void wait_for_device(int device) {
  std::vector<QueuePosition> all;
  {
    const std::lock_guard lock(mutex);
    for (const auto& known : queues[device]) {
      if (auto queue = known.lock()) all.push_back({queue, queue->n_pushed()});
    }
  }
  for (const QueuePosition& position : all) wait_for(position);
}

}  // namespace lockstep::cuda_emulation
