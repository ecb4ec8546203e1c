// AdminJobs: the thread that runs the admin port's verbs, one job after the other. AdminCall: one
// request to a verb, from its start to its only answer. Neither knows sockets.
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

  // Owner only. Waits for the running job and drops the others.
  void stop();

  // Any thread that keeps the queue alive may push to it. A push returns false if the queue is full
  // or the thread has stopped.
  using Queue = BoundedQueue<Job>;
  const std::shared_ptr<Queue>& queue() const { return queue_; }

 private:
  const std::shared_ptr<Queue> queue_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

class AdminCall : public std::enable_shared_from_this<AdminCall> {
 public:
  // Delivers an answer to the connection. Runs on the verbs' thread while the server lives.
  using Deliver = std::function<void(AdminResponse)>;

  AdminCall(std::shared_ptr<AdminJobs::Queue> jobs, Deliver deliver)
      : jobs_(std::move(jobs)), deliver_(std::move(deliver)) {}

  // False if there are too many jobs; then no answer is delivered.
  bool start(const AdminVerb& verb, AdminQuery query);
  // Any thread; only the first call counts. An answer is dropped if there are too many jobs; the
  // call then ends by its timeout.
  void reply(AdminAnswer answer);
  // Called after the call's timeout: delivers `answer` and drops any later reply. False if there
  // are too many jobs.
  bool reply_late(AdminAnswer answer);

 private:
  bool write(AdminAnswer answer);

  const std::shared_ptr<AdminJobs::Queue> jobs_;
  const Deliver deliver_;
  std::atomic<bool> is_taken_{false};  // by the reply or the timeout
};

}  // namespace lockstep
