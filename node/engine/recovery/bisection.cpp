#include "node/engine/recovery/bisection.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace lockstep {

void Bisection::begin(StepStatus status, std::vector<Sequence*> sequences) {
  CHECK(!is_active());
  n_failures_without_row_ = status == StepStatus::kRankFailed ? 0 : 1;
  if (status == StepStatus::kRankFailed && sequences.size() > 1) {
    push_halves(sequences);
  } else {
    push(std::move(sequences));
  }
}

void Bisection::started(std::span<Sequence* const> sequences) {
  running_.assign(sequences.begin(), sequences.end());
  n_started_ = sequences.size();
  for (const Sequence* sequence : sequences) std::erase(groups_.back(), sequence);
  if (groups_.back().empty()) groups_.pop_back();
}

void Bisection::succeeded() {
  running_.clear();
  n_started_ = 0;
  n_failures_without_row_ = 0;
}

std::vector<Sequence*> Bisection::failed(StepStatus status) {
  const size_t n_started = std::exchange(n_started_, 0);
  std::vector<Sequence*> left = std::exchange(running_, {});
  const bool failure_has_row = status == StepStatus::kRankFailed;
  n_failures_without_row_ = failure_has_row ? 0 : n_failures_without_row_ + 1;
  if (n_failures_without_row_ > kMaxRetries) {
    n_failures_without_row_ = 0;
    return left;
  }
  if (failure_has_row && n_started == 1) return left;
  if (failure_has_row && left.size() > 1) {
    push_halves(left);
  } else {
    push(std::move(left));
  }
  return {};
}

void Bisection::repeat() {
  n_started_ = 0;
  push(std::exchange(running_, {}));
}

void Bisection::forget(const Sequence& sequence) {
  std::erase(running_, &sequence);
  for (std::vector<Sequence*>& group : groups_) std::erase(group, &sequence);
  std::erase_if(groups_, [](const std::vector<Sequence*>& group) { return group.empty(); });
}

void Bisection::push(std::vector<Sequence*> group) {
  if (!group.empty()) groups_.push_back(std::move(group));
}

void Bisection::push_halves(const std::vector<Sequence*>& group) {
  const auto middle = group.begin() + static_cast<std::ptrdiff_t>(group.size() / 2);
  groups_.emplace_back(middle, group.end());
  groups_.emplace_back(group.begin(), middle);
}

}  // namespace lockstep
