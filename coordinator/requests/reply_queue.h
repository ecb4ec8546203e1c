// ReplyQueue: carries the cluster's replies from the I/O thread to the coroutine of one HTTP
// request. deliver() may be called on any thread; all other functions run on the executor that the
// constructor takes.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "coordinator/requests/client.h"

namespace lockstep {

class ReplyQueue final : public ReplySink, public std::enable_shared_from_this<ReplyQueue> {
 public:
  explicit ReplyQueue(boost::asio::any_io_executor executor);

  void deliver(wire::Message message) override;

  enum class WaitResult { kMessages, kTimeout, kClientGone };
  // Waits until there are messages, `timeout` has passed, or the HTTP client has disconnected.
  boost::asio::awaitable<WaitResult> wait(std::chrono::milliseconds timeout);
  // Removes and returns all queued messages, in order.
  std::vector<wire::Message> take();
  // The HTTP client closed its side: wait() returns kClientGone from now on.
  void client_gone();

 private:
  bool has_messages() const;

  const boost::asio::any_io_executor executor_;
  // executor
  boost::asio::steady_timer timer_;
  bool client_gone_ = false;
  // guarded by mutex_
  mutable std::mutex mutex_;
  std::vector<wire::Message> messages_;
};

}  // namespace lockstep
