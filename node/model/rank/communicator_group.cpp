#include "node/model/rank/communicator_group.h"

#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {
namespace {

constexpr int kExitNoGroup = 70;  // EX_SOFTWARE of sysexits.h

}  // namespace

CommunicatorGroup::CommunicatorGroup(const RankGroupConfig& config, const Clock& clock,
                                     std::function<uint64_t()> rank_progress)
    : config_(config),
      clock_(clock),
      rank_progress_(std::move(rank_progress)),
      ranks_(value_or_throw(form())) {}

Result<DeviceProvider::Group> CommunicatorGroup::form() const {
  return config_.devices->make_group(
      config_.n_ranks,
      {.tick = config_.watch_tick, .n_ticks = config_.collective_ticks, .progress = rank_progress_},
      config_.n_ranks * config_.threads_per_rank);
}

void CommunicatorGroup::replace() {
  std::string why_not;
  until_ = clock_.now() + config_.devices->longest_forming(config_.n_ranks);
  try {
    ranks_.clear();  // first, since a group holds memory of the devices
    Result<DeviceProvider::Group> group = form();
    if (group) {
      ranks_ = std::move(group).value();
      until_ = Clock::TimePoint{};
      return;
    }
    why_not = group.error().message;
  } catch (const std::exception& error) {
    why_not = error.what();
  }
  log(LogLevel::kError, str("the ranks cannot form a group again: ", why_not, "; exiting"));
  std::_Exit(kExitNoGroup);
}

uint64_t CommunicatorGroup::progress() const {
  if (clock_.now() < until_.load()) ++n_calls_;
  return n_calls_;
}

}  // namespace lockstep
