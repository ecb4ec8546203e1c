// TextWorker: runs chat templates and tokenising, short jobs on the caller's thread and long ones
// on its own, so that they never block the I/O thread. A job counts as open from run() until
// its result has run on the I/O thread. The number of open jobs, and so of results, is bounded; a
// job beyond the bound is refused (overloaded). Tenants share the places equally and take turns, so
// that no tenant can keep the others out.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "common/result.h"
#include "common/threads/round_robin_queue.h"

namespace lockstep {

class TextWorker {
 public:
  using Finish = std::function<void()>;      // processes the result, on the I/O thread
  using Job = std::function<Finish()>;       // computes, on any thread
  using Post = std::function<void(Finish)>;  // runs it on the I/O thread later; cannot fail

  // Whether a text of this size runs on the caller's thread: it is tokenised in well under a
  // millisecond.
  static constexpr bool is_short(size_t n_text_bytes) { return n_text_bytes <= 4096; }
  // The size to give for a job that must not run on the caller's thread.
  static constexpr size_t kLong = SIZE_MAX;

  // `post` must have room for max_jobs.
  TextWorker(size_t max_jobs, Post post, size_t n_tenants = 1);
  ~TextWorker();  // stop()
  TextWorker(const TextWorker&) = delete;
  TextWorker& operator=(const TextWorker&) = delete;

  // I/O thread. False, and the job does not run, if the text is long and there is no room.
  bool run(size_t n_text_bytes, int32_t tenant, Job job);
  // The error for a refused job of the tenant.
  Error full(int32_t tenant) const;

  // Waits for the running job and drops the waiting ones. No job runs afterwards, so the objects
  // that jobs refer to may be destroyed. Must not be called from a job.
  void stop();

 private:
  void run_jobs();

  const size_t max_jobs_;
  const Post post_;
  std::atomic<bool> stopping_{false};
  const size_t max_jobs_of_tenant_;
  RoundRobinQueue<std::pair<size_t, Job>> jobs_;
  // I/O thread. Jobs that are queued, running, or computed and not yet processed.
  size_t n_open_ = 0;
  std::vector<size_t> n_open_of_;  // [n_tenants]
  std::thread thread_;
};

}  // namespace lockstep
