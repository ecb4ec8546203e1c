#include "node/engine/sequence/event_buffer.h"

namespace lockstep {
namespace {

constexpr size_t kTextBytesPerChoice = 256;

}  // namespace

EventBuffer::EventBuffer(int32_t max_choices) {
  const size_t n = static_cast<size_t>(max_choices);
  choices_.reserve(n);
  drafts_.reserve(n);
  ends_.reserve(n);
  ids_.reserve(n);
  text_.reserve(n * kTextBytesPerChoice);
  logprobs_.reserve(n);
  top_.reserve(n * kMaxTopLogprobs);
}

void EventBuffer::begin_choice(RequestId request, uint32_t choice, uint32_t first_index) {
  ChoiceEvent& event = choices_.emplace_back();
  event.request = request;
  event.choice = choice;
  event.first_index = first_index;
  drafts_.push_back({ids_.size(), text_.size(), logprobs_.size(), top_.size()});
}

void EventBuffer::end_choice(FinishReason reason, std::string_view stop_string,
                             int32_t stop_token) {
  ChoiceEvent& event = choices_.back();
  event.finished = reason;
  event.stop_string = stop_string;
  event.stop_token = stop_token;
}

EventBatch EventBuffer::batch() {
  Draft end = {ids_.size(), text_.size(), logprobs_.size(), top_.size()};
  for (size_t i = choices_.size(); i-- > 0;) {
    const Draft& begin = drafts_[i];
    ChoiceEvent& event = choices_[i];
    event.ids = std::span(ids_).subspan(begin.ids, end.ids - begin.ids);
    event.text = std::string_view(text_).substr(begin.text, end.text - begin.text);
    event.logprobs = std::span(logprobs_).subspan(begin.logprobs, end.logprobs - begin.logprobs);
    event.top = std::span(top_).subspan(begin.top, end.top - begin.top);
    end = begin;
  }
  return {choices_, ends_};
}

void EventBuffer::clear() {
  choices_.clear();
  drafts_.clear();
  ends_.clear();
  ids_.clear();
  text_.clear();
  logprobs_.clear();
  top_.clear();
}

}  // namespace lockstep
