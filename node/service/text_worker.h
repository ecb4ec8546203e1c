// TextWorker: runs templates and tokenising, short ones on the caller's thread and long ones on one
// of its own, so that the service's loop never stands still for them. Jobs wait in a bounded
// queue; a full one is an answer (overloaded), not a wait.
#pragma once

#include <functional>
#include <thread>

#include "common/bounded_queue.h"

namespace lockstep {

class TextWorker {
 public:
  using Finish = std::function<void()>;      // what is to be done with the outcome, on the loop
  using Job = std::function<Finish()>;       // computes, on any thread
  using Post = std::function<void(Finish)>;  // runs it on the loop's thread later

  TextWorker(size_t max_jobs, Post post) : jobs_(max_jobs), post_(std::move(post)) {
    thread_ = std::thread([this] {
      while (std::optional<Job> job = jobs_.wait_pop()) post_((*job)());
    });
  }
  // Runs what is queued, then ends.
  ~TextWorker() {
    jobs_.close();
    thread_.join();
  }
  TextWorker(const TextWorker&) = delete;
  TextWorker& operator=(const TextWorker&) = delete;

  // Loop thread. False, and nothing is run, when there is much text and the queue is full.
  bool run(size_t n_text_bytes, Job job) {
    if (n_text_bytes > kMaxInlineTextBytes) return jobs_.try_push(job);
    job()();
    return true;
  }

 private:
  // Tokenises in well under a millisecond.
  static constexpr size_t kMaxInlineTextBytes = 4096;

  BoundedQueue<Job> jobs_;
  const Post post_;
  std::thread thread_;
};

}  // namespace lockstep
