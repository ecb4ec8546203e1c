// EventMailbox: carries the engine's events to the I/O thread. The engine copies a batch into flat
// buffers and continues; it never waits for the reader. The mailbox is bounded without
// dropping: only the reader accepts requests, so it holds at most the output of accepted ones.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "node/engine/sequence/request.h"

namespace lockstep {

// A copy of one or more EventBatches. Clearing keeps the storage for reuse.
class StepOutputs {
 public:
  struct Choice {
    ChoiceEvent event;  // spans are empty here; view() fills them
    Clock::TimePoint at;
    size_t ids_first = 0, text_first = 0, top_first = 0, stop_first = 0;
    size_t n_ids = 0, n_text = 0, n_top = 0, n_stop = 0;
    bool has_logprobs = false;
  };
  struct End {
    RequestEnd end;  // without its message
    std::string message;
  };

  void append(const EventBatch& batch, Clock::TimePoint now);
  void clear();
  void swap(StepOutputs& other) noexcept;

  const std::vector<Choice>& choices() const { return choices_; }
  const std::vector<End>& ends() const { return ends_; }
  // Returns the event with its spans, which are valid until append() or clear().
  ChoiceEvent view(const Choice& choice) const;

 private:
  void append(const ChoiceEvent& event, Clock::TimePoint now);

  std::vector<Choice> choices_;
  std::vector<End> ends_;
  std::vector<int32_t> ids_;
  std::vector<float> logprobs_;  // parallel to ids_; 0 where none were asked for
  std::vector<TokenLogprob> top_;
  std::string text_;  // pieces and stop strings
};

class EventMailbox final : public EngineSink {
 public:
  explicit EventMailbox(const Clock& clock) : clock_(clock) {}

  // Called on the engine's thread after each batch; must not block. Set before the engine starts.
  void on_outputs(std::function<void()> notify) { notify_ = std::move(notify); }
  void on_events(const EventBatch& batch) override;

  // Moves the outputs since the last call into `into` and reuses its storage for the next ones.
  void take(StepOutputs& into);

 private:
  const Clock& clock_;
  std::function<void()> notify_;
  std::mutex mutex_;
  StepOutputs pending_;  // guarded by mutex_
};

}  // namespace lockstep
