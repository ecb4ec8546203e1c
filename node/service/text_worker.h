// TextWorker: runs templates and tokenising, short ones on the caller's thread and long ones on one
// of its own, so that the service's loop never stands still for them. Jobs are counted from run()
// until their outcome has run on the loop, and bounded; one more is refused (overloaded), and the
// loop never has more than that many outcomes to take.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "common/bounded_queue.h"

namespace lockstep {

class TextWorker {
 public:
  using Finish = std::function<void()>;      // what is to be done with the outcome, on the loop
  using Job = std::function<Finish()>;       // computes, on any thread
  using Post = std::function<bool(Finish)>;  // runs it on the loop's thread later; false = cannot

  // `post` must have room for max_jobs.
  TextWorker(size_t max_jobs, Post post);
  ~TextWorker();  // stop()
  TextWorker(const TextWorker&) = delete;
  TextWorker& operator=(const TextWorker&) = delete;

  // Loop thread. False, and nothing is run, when there is much text and no room for it.
  bool run(size_t n_text_bytes, Job job);

  // Waits for the job that runs now and drops those that wait: afterwards no job runs, so what they
  // refer to may go away. Not from a job.
  void stop();

 private:
  void run_jobs();

  const size_t max_jobs_;
  const Post post_;
  std::atomic<bool> stopping_{false};
  BoundedQueue<Job> jobs_;
  size_t n_open_ = 0;  // loop thread: queued, running, or computed and not yet finished
  std::thread thread_;
};

}  // namespace lockstep
