// EventStream: an HTTP stream between two waits: takes the cluster's messages, gives the events to
// send. Knows no sockets and no coroutines. On the connection's executor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/result.h"
#include "coordinator/openai/cache_receipts.h"
#include "coordinator/openai/openai_request.h"
#include "coordinator/openai/openai_response.h"

namespace lockstep {

class EventStream {
 public:
  EventStream(const OpenAiRequest& request, AnswerHeader header)
      : answer_(request, std::move(header)), n_unaccepted_(request.prompts.size()) {}

  void take(const wire::Message& message);

  // Every prompt is, so the 200 may go out; before, an error is a plain HTTP error.
  bool accepted() const { return n_unaccepted_ == 0; }
  bool over() const { return error_ || answer_.complete(); }
  const std::optional<Error>& error() const { return error_; }
  uint64_t seed() const { return seed_; }  // once accepted()

  // What is to be sent now, to the last event when it is over(); before that one stands the cache
  // receipt, which came too late for a header, as a comment. A comment also if there is nothing and
  // `was_silent`, so that proxies keep the connection.
  std::string take_text(bool was_silent);

 private:
  StreamedAnswer answer_;
  CacheReceipts receipts_;
  size_t n_unaccepted_;
  uint64_t seed_ = 0;
  std::string text_;
  std::optional<Error> error_;
};

}  // namespace lockstep
