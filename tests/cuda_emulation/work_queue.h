// WorkQueue: what is queued on one emulated stream. It runs in order, in a thread that calls
// run_to: there is no device that would run it by itself. Any thread may call; one at a time runs
// work.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace lockstep::cuda_emulation {

// A place in a queue: `n` pieces of work, counted from the first that it ever had.
struct QueuePosition {
  std::shared_ptr<class WorkQueue> queue;  // nullptr: done
  uint64_t n = 0;
};

class WorkQueue {
 public:
  explicit WorkQueue(int device) : device_(device) {}
  // See cuda_emulation_stream::run.
  void push(std::function<bool()> work);
  // The number of pieces of work that were ever queued.
  uint64_t n_pushed() const;

  // Runs work up to position n. Returns whether all of it is done: if not, a piece of it waits for
  // something, or another thread is running it. When a piece of work throws a KernelFault, the work
  // behind it is dropped, as a device runs nothing more after a fault; the fault is thrown, or the
  // device has failed (Platform::faults_are_errors). A device that has failed drops all work.
  bool run_to(uint64_t n);

 private:
  void drop_all();
  bool run_front(std::unique_lock<std::mutex>& lock);

  const int device_;
  mutable std::mutex mutex_;
  // guarded by mutex_
  std::deque<std::function<bool()>> work_;
  uint64_t n_pushed_ = 0;
  uint64_t n_done_ = 0;
  bool runs_ = false;  // a thread is inside work_.front(), without the mutex
};

// Whether a fault has ended the device.
bool has_failed(int device);
void repair_devices();

// Runs the queue up to there, as often as it takes.
void wait_for(const QueuePosition& position);

// The queues of a device's streams, for calls that wait for the device.
void add_queue(int device, const std::shared_ptr<WorkQueue>& queue);
void wait_for_device(int device);

}  // namespace lockstep::cuda_emulation
