// TextWorker: runs templates and tokenising, short ones on the caller's thread and long ones on one
// of its own, so that the service's loop never stands still for them. Jobs are counted from run()
// until their outcome has run on the loop, and bounded; one more is refused (overloaded), and the
// loop never has more than that many outcomes to take. Each tenant has its equal part of the places
// and its turn, so that none can keep the others out.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "common/result.h"
#include "node/service/requests/turn_queue.h"

namespace lockstep {

class TextWorker {
 public:
  using Finish = std::function<void()>;      // what is to be done with the outcome, on the loop
  using Job = std::function<Finish()>;       // computes, on any thread
  using Post = std::function<void(Finish)>;  // runs it on the loop's thread later; cannot fail

  // `post` must have room for max_jobs.
  TextWorker(size_t max_jobs, Post post, size_t n_tenants = 1);
  ~TextWorker();  // stop()
  TextWorker(const TextWorker&) = delete;
  TextWorker& operator=(const TextWorker&) = delete;

  // Loop thread. False, and nothing is run, when there is much text and no room for it.
  bool run(size_t n_text_bytes, int32_t tenant, Job job);
  // What a tenant is told then.
  Error full(int32_t tenant) const;

  // Waits for the job that runs now and drops those that wait: afterwards no job runs, so what they
  // refer to may go away. Not from a job.
  void stop();

 private:
  void run_jobs();

  const size_t max_jobs_;
  const Post post_;
  std::atomic<bool> stopping_{false};
  const size_t max_jobs_of_tenant_;
  TurnQueue<std::pair<size_t, Job>> jobs_;
  // Loop thread: queued, running, or computed and not yet finished.
  size_t n_open_ = 0;
  std::vector<size_t> n_open_of_;  // [n_tenants]
  std::thread thread_;
};

}  // namespace lockstep
