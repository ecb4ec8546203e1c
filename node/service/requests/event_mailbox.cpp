#include "node/service/requests/event_mailbox.h"

namespace lockstep {

void StepOutputs::append(const EventBatch& batch, Clock::TimePoint now) {
  for (const ChoiceEvent& event : batch.choices) append(event, now);
  for (const RequestEnd& end : batch.ends) {
    ends_.push_back({end, std::string(end.message)});
    ends_.back().end.message = {};
  }
}

void StepOutputs::append(const ChoiceEvent& event, Clock::TimePoint now) {
  Choice choice;
  choice.event = event;
  choice.event.ids = {};
  choice.event.text = {};
  choice.event.logprobs = {};
  choice.event.top = {};
  choice.event.stop_string = {};
  choice.at = now;
  choice.ids_first = ids_.size();
  choice.n_ids = event.ids.size();
  ids_.insert(ids_.end(), event.ids.begin(), event.ids.end());
  choice.has_logprobs = !event.logprobs.empty();
  logprobs_.insert(logprobs_.end(), event.logprobs.begin(), event.logprobs.end());
  logprobs_.resize(ids_.size());
  choice.top_first = top_.size();
  choice.n_top = event.top.size();
  top_.insert(top_.end(), event.top.begin(), event.top.end());
  choice.text_first = text_.size();
  choice.n_text = event.text.size();
  text_ += event.text;
  choice.stop_first = text_.size();
  choice.n_stop = event.stop_string.size();
  text_ += event.stop_string;
  choices_.push_back(choice);
}

void StepOutputs::clear() {
  choices_.clear();
  ends_.clear();
  ids_.clear();
  logprobs_.clear();
  top_.clear();
  text_.clear();
}

void StepOutputs::swap(StepOutputs& other) noexcept {
  choices_.swap(other.choices_);
  ends_.swap(other.ends_);
  ids_.swap(other.ids_);
  logprobs_.swap(other.logprobs_);
  top_.swap(other.top_);
  text_.swap(other.text_);
}

ChoiceEvent StepOutputs::view(const Choice& choice) const {
  ChoiceEvent event = choice.event;
  const std::string_view text = text_;
  event.ids = std::span(ids_).subspan(choice.ids_first, choice.n_ids);
  event.text = text.substr(choice.text_first, choice.n_text);
  event.stop_string = text.substr(choice.stop_first, choice.n_stop);
  if (choice.has_logprobs) {
    event.logprobs = std::span(logprobs_).subspan(choice.ids_first, choice.n_ids);
  }
  event.top = std::span(top_).subspan(choice.top_first, choice.n_top);
  return event;
}

void EventMailbox::on_events(const EventBatch& batch) {
  {
    std::lock_guard lock(mutex_);
    pending_.append(batch, clock_.now());
  }
  if (notify_) notify_();
}

void EventMailbox::take(StepOutputs& into) {
  into.clear();
  std::lock_guard lock(mutex_);
  pending_.swap(into);
}

}  // namespace lockstep
