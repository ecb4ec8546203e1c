// EventStream: converts the cluster's messages for one streamed HTTP response into the text of
// server-sent events. Knows no sockets and no coroutines. Runs on the connection's executor.
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
  // `position`: what the client has of a stream that is resumed; of a new stream, nothing.
  EventStream(const OpenAiRequest& request, AnswerHeader header, StreamPosition position = {})
      : answer_(request, std::move(header), std::move(position)),
        n_unaccepted_(request.prompts.size()) {}

  void take(const wire::Message& message);

  // True once every prompt is accepted, so that the status 200 may be sent. Before that, an error
  // is a plain HTTP error.
  bool accepted() const { return n_unaccepted_ == 0; }
  bool over() const { return error_ || answer_.complete(); }
  const std::optional<Error>& error() const { return error_; }
  uint64_t seed() const { return seed_; }  // valid once accepted()

  // Returns the text to send now; when over(), up to and including the last event. That is [DONE],
  // unless the stream can go on elsewhere: because the coordinator shuts down, or no node is left.
  // The cache receipt is known too late for a header, so it is sent as a comment before the last
  // event. If there is no text and `was_silent`, the result is a keep-alive comment, so that
  // proxies keep the connection open.
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
