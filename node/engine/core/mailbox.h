// Mailbox: the way into the engine thread. Any thread posts; the engine thread takes all mail at
// once, or sleeps until there is some. Bounded: more requests or tasks than may wait are refused,
// and a live request has at most one cancel in it. Knows which ids are live, nothing else about
// requests.
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
  std::vector<std::unique_ptr<LiveRequest>> arrivals;  // in order
  std::vector<RequestId> cancels;                      // of requests in or before `arrivals`
  std::vector<EngineTask> tasks;                       // after both
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

  // max_queued_tokens: prompt tokens of requests that wait; 0 = no limit.
  explicit Mailbox(int32_t max_queued_requests, int64_t max_queued_tokens = 0);

  // Any thread.
  // kOverloaded when full, kNoNodeReady once closed, kConflict if the id is live.
  Status post(std::unique_ptr<LiveRequest> request);
  void post_cancel(RequestId id);
  // False, and the task is dropped, when kMaxTasks wait or the engine is stopping; else it is
  // taken.
  [[nodiscard]] bool post_task(EngineTask task);
  void close();  // refuse requests from now on
  void stop();   // close, and tell the engine thread to end
  bool is_closed() const;
  int32_t n_live() const;  // accepted, final message not yet spoken
  bool has_live() const { return has_live_.load(std::memory_order_relaxed); }  // takes no lock
  int32_t n_pending() const;  // sequences not yet taken by the engine thread
  uint64_t n_accepted() const;

  // Engine thread.
  // Takes all mail, waiting for some if `wait`.
  void take(Mail& mail, bool wait);
  // Likewise, but waits no longer than that.
  void take_within(Mail& mail, std::chrono::nanoseconds longest);
  // So many of the requests taken, with so many prompt tokens, still wait at the engine; they count
  // as queued.
  void set_n_waiting(int32_t n_requests, int64_t n_tokens = 0);
  // These requests have ended; their ids may come again.
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
  std::unordered_map<RequestId, bool> live_;  // to: a cancel was posted
  int32_t n_waiting_ = 0;                     // requests taken that have not been admitted
  int64_t n_waiting_tokens_ = 0;              // of their prompts
  int64_t n_pending_tokens_ = 0;              // of the prompts in `mail_`
  int32_t n_pending_ = 0;
  uint64_t n_accepted_ = 0;
  bool is_closed_ = false;
};

}  // namespace lockstep
