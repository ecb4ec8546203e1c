#include "coordinator/requests/reply_queue.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace lockstep {

namespace asio = boost::asio;

ReplyQueue::ReplyQueue(asio::any_io_executor executor)
    : executor_(std::move(executor)), timer_(executor_) {}

// Wakes the coroutine once per burst, because the coroutine takes all queued messages at once.
void ReplyQueue::deliver(wire::Message message) {
  {
    std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    if (messages_.size() > 1) return;
  }
  auto wake = [self = shared_from_this()] { self->timer_.cancel(); };
  asio::post(executor_, std::move(wake));
}

// A wake-up may be left over from messages that were already taken; then the loop keeps waiting.
asio::awaitable<ReplyQueue::WaitResult> ReplyQueue::wait(std::chrono::milliseconds timeout) {
  timer_.expires_after(timeout);
  while (true) {
    if (client_gone_) co_return WaitResult::kClientGone;
    if (has_messages()) co_return WaitResult::kMessages;
    const auto [error] = co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (!error) co_return has_messages() ? WaitResult::kMessages : WaitResult::kTimeout;
  }
}

std::vector<wire::Message> ReplyQueue::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(messages_, {});
}

void ReplyQueue::client_gone() {
  client_gone_ = true;
  timer_.cancel();
}

bool ReplyQueue::has_messages() const {
  std::lock_guard lock(mutex_);
  return !messages_.empty();
}

}  // namespace lockstep
