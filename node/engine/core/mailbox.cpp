#include "node/engine/core/mailbox.h"

#include <string>
#include <utility>

namespace lockstep {

Mailbox::Mailbox(int32_t max_queued_requests, int64_t max_queued_tokens)
    : max_queued_requests_(max_queued_requests), max_queued_tokens_(max_queued_tokens) {}

// A prompt longer than max_queued_tokens may wait if no other request waits; otherwise such a
// request could never run.
Status Mailbox::check_room(const LiveRequest& request) const {
  const size_t n_queued = mail_.arrivals.size() + static_cast<size_t>(n_waiting_);
  if (n_queued >= static_cast<size_t>(max_queued_requests_)) {
    return Error{ErrorCode::kOverloaded,
                 std::to_string(n_queued) + " requests are waiting, the queue holds " +
                     std::to_string(max_queued_requests_),
                 {}};
  }
  const int64_t n_tokens = n_pending_tokens_ + n_waiting_tokens_;
  const auto n_prompt = static_cast<int64_t>(request.request.prompt.size());
  if (max_queued_tokens_ > 0 && n_queued > 0 && n_tokens + n_prompt > max_queued_tokens_) {
    return Error{ErrorCode::kOverloaded,
                 std::to_string(n_tokens) + " prompt tokens are waiting, with " +
                     std::to_string(n_prompt) + " more they would exceed the queue's " +
                     std::to_string(max_queued_tokens_),
                 {}};
  }
  return Ok{};
}

Status Mailbox::post(std::unique_ptr<LiveRequest> request) {
  const RequestId id = request->request.id;
  {
    std::lock_guard lock(mutex_);
    if (is_closed_) return Error{ErrorCode::kNoNodeReady, "the node is shutting down", {}};
    if (live_.contains(id)) {
      return Error{ErrorCode::kConflict,
                   "request id " + std::to_string(raw(id)) + " is in use by a live request",
                   {}};
    }
    TRY([[maybe_unused]] const Ok room, check_room(*request));
    live_.emplace(id, false);
    has_live_.store(true, std::memory_order_relaxed);
    ++n_accepted_;
    n_pending_ += static_cast<int32_t>(request->choices.size());
    n_pending_tokens_ += static_cast<int64_t>(request->request.prompt.size());
    mail_.arrivals.push_back(std::move(request));
  }
  mail_came_.notify_one();
  return Ok{};
}

void Mailbox::post_cancel(RequestId id) {
  {
    std::lock_guard lock(mutex_);
    const auto found = live_.find(id);
    if (found == live_.end() || std::exchange(found->second, true)) return;
    mail_.cancels.push_back(id);
  }
  mail_came_.notify_one();
}

bool Mailbox::post_task(EngineTask task) {
  {
    std::lock_guard lock(mutex_);
    if (mail_.is_stopping || mail_.tasks.size() >= kMaxTasks) return false;
    mail_.tasks.push_back(std::move(task));
  }
  mail_came_.notify_one();
  return true;
}

void Mailbox::close() {
  std::lock_guard lock(mutex_);
  is_closed_ = true;
}

void Mailbox::stop() {
  {
    std::lock_guard lock(mutex_);
    is_closed_ = true;
    mail_.is_stopping = true;
  }
  mail_came_.notify_one();
}

bool Mailbox::is_closed() const {
  std::lock_guard lock(mutex_);
  return is_closed_;
}

int32_t Mailbox::n_live() const {
  std::lock_guard lock(mutex_);
  return static_cast<int32_t>(live_.size());
}

int32_t Mailbox::n_pending() const {
  std::lock_guard lock(mutex_);
  return n_pending_;
}

int64_t Mailbox::n_pending_tokens() const {
  std::lock_guard lock(mutex_);
  return n_pending_tokens_;
}

uint64_t Mailbox::n_accepted() const {
  std::lock_guard lock(mutex_);
  return n_accepted_;
}

void Mailbox::wait_take(Mail& mail) {
  mail.clear();
  std::unique_lock lock(mutex_);
  mail_came_.wait(lock, [this] { return has_mail(); });
  hand_over(mail);
}

void Mailbox::wait_take(Mail& mail, std::chrono::nanoseconds longest) {
  mail.clear();
  std::unique_lock lock(mutex_);
  // With longest = 0, as while steps run, taking mail needs no system call.
  if (longest.count() > 0) mail_came_.wait_for(lock, longest, [this] { return has_mail(); });
  hand_over(mail);
}

bool Mailbox::has_mail() const {
  return !mail_.arrivals.empty() || !mail_.cancels.empty() || !mail_.tasks.empty() ||
         mail_.is_stopping;
}

void Mailbox::hand_over(Mail& mail) {
  std::swap(mail.arrivals, mail_.arrivals);
  std::swap(mail.cancels, mail_.cancels);
  std::swap(mail.tasks, mail_.tasks);
  mail.is_stopping = mail_.is_stopping;
  n_waiting_ += static_cast<int32_t>(mail.arrivals.size());
  n_waiting_tokens_ += std::exchange(n_pending_tokens_, 0);
  n_pending_ = 0;
}

void Mailbox::set_n_waiting(int32_t n_requests, int64_t n_tokens) {
  std::lock_guard lock(mutex_);
  n_waiting_ = n_requests;
  n_waiting_tokens_ = n_tokens;
}

void Mailbox::forget(std::span<const RequestEnd> ends) {
  if (ends.empty()) return;
  std::lock_guard lock(mutex_);
  for (const RequestEnd& end : ends) {
    live_.erase(end.request);
    std::erase(mail_.cancels, end.request);  // another request may use the id again
  }
  has_live_.store(!live_.empty(), std::memory_order_relaxed);
}

}  // namespace lockstep
