// AdminJobs: owns the thread that runs the admin port's verbs, one job after the other (the verbs'
// thread). AdminCall: one request to a verb, from its start to its first answer. Neither knows
// sockets.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "common/service/http/admin_http.h"
#include "common/threads/bounded_queue.h"

namespace lockstep {

class AdminJobs {
 public:
  using Job = std::function<void()>;

  AdminJobs();
  ~AdminJobs();  // stop()
  AdminJobs(const AdminJobs&) = delete;
  AdminJobs& operator=(const AdminJobs&) = delete;

  // Owner's thread. Waits for the running job and drops the queued ones.
  void stop();

  // The queue may be used on any thread and may outlive this object. try_push() returns false when
  // the queue is full or the thread has stopped.
  using Queue = BoundedQueue<Job>;
  const std::shared_ptr<Queue>& queue() const { return queue_; }

 private:
  const std::shared_ptr<Queue> queue_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

class AdminCall : public std::enable_shared_from_this<AdminCall> {
 public:
  // Passes an answer to the connection. Called on the verbs' thread, while the server exists.
  using Deliver = std::function<void(AdminResponse)>;

  AdminCall(std::shared_ptr<AdminJobs::Queue> jobs, Deliver deliver)
      : jobs_(std::move(jobs)), deliver_(std::move(deliver)) {}

  // Returns false if the job queue is full; then nothing will be delivered.
  bool start(const AdminVerb& verb, AdminQuery query);
  // Any thread; only the first call counts. If the job queue is full, the answer is lost and the
  // request ends with its timeout.
  void reply(AdminAnswer answer);
  // Delivers `answer` instead of a reply; a later reply() is ignored. Returns false if the job
  // queue is full.
  bool reply_late(AdminAnswer answer);

 private:
  bool write(AdminAnswer answer);

  const std::shared_ptr<AdminJobs::Queue> jobs_;
  const Deliver deliver_;
  std::atomic<bool> is_taken_{false};  // by the reply or by the timeout, whichever is first
};

}  // namespace lockstep
