// Mailbox: the queue of other threads to the engine thread. Any thread posts requests, cancels and
// tasks; the engine thread takes all of them at once, or sleeps until there are some. The mailbox
// is bounded: it refuses requests and tasks beyond its limits, and holds at most one cancel of each
// live request. It knows which request ids are live and how many requests wait, and nothing else
// about them. Thread-safe by one mutex.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/result.h"
#include "node/engine/core/engine_task.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {

struct Mail {
  std::vector<std::unique_ptr<LiveRequest>> arrivals;  // in order of arrival
  std::vector<RequestId> cancels;                      // of requests in `arrivals` or taken earlier
  std::vector<EngineTask> tasks;                       // run after both
  bool is_stopping = false;

  void clear() {
    arrivals.clear();
    cancels.clear();
    tasks.clear();
  }
};

class Mailbox {
 public:
  static constexpr size_t kMaxTasks = 64;

  // max_queued_tokens: the most prompt tokens of waiting requests; 0 = no limit.
  explicit Mailbox(int32_t max_queued_requests, int64_t max_queued_tokens = 0);

  // Any thread:

  // Queues a request. Errors: kOverloaded when full, kNoNodeReady once closed, kConflict if the id
  // is live.
  Status post(std::unique_ptr<LiveRequest> request);
  // Queues a cancel. Ignores ids that are not live or have a cancel already.
  void post_cancel(RequestId id);
  // Queues a task. Returns false and drops the task if kMaxTasks wait or the engine is stopping.
  [[nodiscard]] bool post_task(EngineTask task);
  void close();  // refuses requests from now on
  void stop();   // closes the mailbox and has the engine thread end
  bool is_closed() const;
  int32_t n_live() const;  // accepted requests without a final message yet
  bool has_live() const { return has_live_.load(std::memory_order_relaxed); }  // takes no lock
  int32_t n_pending() const;         // sequences that the engine thread has not taken yet
  int64_t n_pending_tokens() const;  // prompt tokens of the requests of those sequences
  uint64_t n_accepted() const;

  // Engine thread only:

  // Takes all mail; sleeps until there is some.
  void wait_take(Mail& mail);
  // Takes all mail; sleeps for at most `longest` until there is some.
  void wait_take(Mail& mail, std::chrono::nanoseconds longest);
  // Sets how many of the requests taken are not admitted yet, and their prompt tokens; they count
  // as queued.
  void set_n_waiting(int32_t n_requests, int64_t n_tokens = 0);
  // These requests have ended; their ids may be used again.
  void forget(std::span<const RequestEnd> ends);

 private:
  Status check_room(const LiveRequest& request) const;
  bool has_mail() const;
  void hand_over(Mail& mail);

  const int32_t max_queued_requests_;
  const int64_t max_queued_tokens_;
  std::atomic<bool> has_live_{false};  // written under mutex_
  mutable std::mutex mutex_;
  std::condition_variable mail_came_;
  // guarded by mutex_
  Mail mail_;
  std::unordered_map<RequestId, bool> live_;  // value: whether a cancel was posted
  int32_t n_waiting_ = 0;                     // requests taken and not admitted yet
  int64_t n_waiting_tokens_ = 0;              // their prompt tokens
  int64_t n_pending_tokens_ = 0;              // prompt tokens of the requests in mail_
  int32_t n_pending_ = 0;                     // sequences of the requests in mail_
  uint64_t n_accepted_ = 0;
  bool is_closed_ = false;
};

}  // namespace lockstep
