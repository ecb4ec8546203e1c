// ReplyQueue: carries the cluster's answers from the I/O thread to one HTTP request's coroutine.
// deliver() on any thread; everything else on the executor it was made with.
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

  enum class WaitResult { kMessages, kTimeout, kPeerGone };
  // Waits for messages, the end of `timeout`, or the client's leaving.
  boost::asio::awaitable<WaitResult> wait(std::chrono::milliseconds timeout);
  // All messages so far, in order.
  std::vector<wire::Message> take();
  // The HTTP client closed its side: wait() says so from now on.
  void peer_gone();

 private:
  bool has_messages() const;

  const boost::asio::any_io_executor executor_;
  // executor
  boost::asio::steady_timer timer_;
  bool peer_gone_ = false;
  // guarded by mutex_
  mutable std::mutex mutex_;
  std::vector<wire::Message> messages_;
};

}  // namespace lockstep
