#include "coordinator/openai/event_stream.h"

#include <utility>
#include <vector>

#include "coordinator/http/http_error.h"
#include "coordinator/http/sse.h"

namespace lockstep {

void EventStream::take(const wire::Message& message) {
  std::vector<StreamChunk> chunks;
  if (const auto* accepted = std::get_if<wire::Accepted>(&message)) {
    answer_.accepted(prompt_index(accepted->request_id), *accepted, chunks);
    seed_ = accepted->seed;
    --n_unaccepted_;
  } else if (const auto* tokens = std::get_if<wire::Tokens>(&message)) {
    answer_.tokens(prompt_index(tokens->request_id), *tokens, chunks);
    if (!error_) error_ = answer_.position_error();
  } else if (const auto* done = std::get_if<wire::Done>(&message)) {
    answer_.done(*done);
    receipts_.done(*done);
    if (answer_.complete()) answer_.finish(chunks);
  } else if (const auto* failed = std::get_if<wire::ErrorReply>(&message)) {
    // Over HTTP, the client's position is a header.
    const bool is_position = failed->param == "index";
    if (!error_)
      error_ = Error{failed->code, failed->message, is_position ? "last-event-id" : failed->param};
  }
  if (error_) return;
  for (const StreamChunk& chunk : chunks) sse::append_event(chunk.json, text_, chunk.id);
}

// Messages may have arrived after the wait timed out; then their text is returned instead of a
// comment.
std::string EventStream::take_text(bool was_silent) {
  if (error_) sse::append_event(error_body(*error_), text_);
  const bool goes_on_elsewhere = error_ && error_->code == ErrorCode::kNoNodeReady;
  if (over() && !goes_on_elsewhere) {
    if (const std::string receipt = receipts_.text(); !receipt.empty()) {
      sse::append_comment("x-cache-receipt: " + receipt, text_);
    }
    text_ += sse::kDone;
  }
  if (text_.empty() && was_silent) text_ = sse::kKeepAlive;
  return std::exchange(text_, {});
}

}  // namespace lockstep
