// EventBuffer: collects the events of one step and lays them out as an EventBatch. Its buffers are
// reused: once they have held the largest step, a step allocates nothing. Engine thread only.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "node/engine/sequence/request.h"

namespace lockstep {

class EventBuffer {
 public:
  // Reserves room for one token of each of `max_choices` choices.
  explicit EventBuffer(int32_t max_choices);

  // Begins the event of one choice. Everything added before the next begin_choice() belongs to it.
  void begin_choice(RequestId request, uint32_t choice, uint32_t first_index);
  void add_id(int32_t id) { ids_.push_back(id); }
  void add_logprob(float logprob) { logprobs_.push_back(logprob); }
  void add_top(std::span<const TokenLogprob> top) {
    top_.insert(top_.end(), top.begin(), top.end());
  }
  std::string& text() { return text_; }  // append only
  // Marks the choice as ended. `stop_string` must outlive the batch.
  void end_choice(FinishReason reason, std::string_view stop_string = {}, int32_t stop_token = -1);
  void add_end(const RequestEnd& end) { ends_.push_back(end); }

  bool empty() const { return drafts_.empty() && ends_.empty(); }
  // All events since clear(); valid until the next event is added.
  EventBatch batch();
  void clear();

 private:
  // Where an event's parts begin; they end where the next event's parts begin.
  struct Draft {
    size_t ids = 0, text = 0, logprobs = 0, top = 0;
  };

  std::vector<ChoiceEvent> choices_;
  std::vector<Draft> drafts_;  // [choices_.size()]
  std::vector<RequestEnd> ends_;
  std::vector<int32_t> ids_;
  std::string text_;
  std::vector<float> logprobs_;
  std::vector<TokenLogprob> top_;
};

}  // namespace lockstep
