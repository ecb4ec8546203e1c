#include "node/engine/bisection.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace lockstep {

void Bisection::begin(StepStatus status, std::vector<Sequence*> sequences) {
  CHECK(!is_active());
  if (sequences.empty()) return;
  if (status == StepStatus::kRankFailed && sequences.size() > 1) {
    push_halves(sequences);
  } else {
    groups_.push_back(std::move(sequences));
  }
}

void Bisection::succeeded(std::span<Sequence* const> sequences) {
  for (const Sequence* sequence : sequences) std::erase(groups_.back(), sequence);
  if (groups_.back().empty()) groups_.pop_back();
}

std::vector<Sequence*> Bisection::failed(StepStatus status) {
  std::vector<Sequence*> group = std::move(groups_.back());
  groups_.pop_back();
  if (status != StepStatus::kRankFailed || group.size() == 1) return group;
  push_halves(group);
  return {};
}

void Bisection::forget(const Sequence& sequence) {
  for (std::vector<Sequence*>& group : groups_) std::erase(group, &sequence);
  std::erase_if(groups_, [](const std::vector<Sequence*>& group) { return group.empty(); });
}

void Bisection::push_halves(const std::vector<Sequence*>& group) {
  const auto middle = group.begin() + static_cast<std::ptrdiff_t>(group.size() / 2);
  groups_.emplace_back(middle, group.end());
  groups_.emplace_back(group.begin(), middle);
}

}  // namespace lockstep
