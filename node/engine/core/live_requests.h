// LiveRequests: owns the accepted requests, from add() until their final message is delivered and
// no step in flight names them. Ends choices and requests, and writes their ends into the events.
// A request is live, and can be found by its id, until it ends. Engine thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "node/engine/plan/scheduler.h"
#include "node/engine/recovery/failure_recovery.h"
#include "node/engine/sequence/event_buffer.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {

class LiveRequests {
 public:
  // All must outlive this object. Ended sequences leave the scheduler and the recovery.
  LiveRequests(Scheduler& scheduler, FailureRecovery& recovery, EventBuffer& events,
               const Clock& clock);

  // The id must not be live (CHECK). A request whose choices have all ended elsewhere ends at once.
  void add(std::unique_ptr<LiveRequest> request);
  // Some live request; null if there is none.
  const LiveRequest* any() const { return live_.empty() ? nullptr : live_.begin()->second.get(); }

  // Ends the choice, whose event has its end already; with the last open choice, the request.
  void end_choice(Choice& choice, FinishReason reason);
  // Ends the request, with all its choices, with an error.
  void fail(LiveRequest& request, ErrorCode error, std::string message);
  // Ends the request likewise with kCancelled. Returns false if the id is not live.
  bool cancel(RequestId id);
  // Fails the requests whose deadline has passed.
  void end_overdue();
  // Destroys the ended requests that no step in flight names; their events must be delivered.
  void drop_ended();

  // How many requests have ended for this reason.
  uint64_t n_ended(FinishReason reason) const { return n_ended_[static_cast<size_t>(reason)]; }

 private:
  void retire(Choice& choice, FinishReason reason);
  void end_open_choices(LiveRequest& request, FinishReason reason);
  void end_request(LiveRequest& request, FinishReason reason, ErrorCode error);

  Scheduler& scheduler_;
  FailureRecovery& recovery_;
  EventBuffer& events_;
  const Clock& clock_;
  std::unordered_map<RequestId, std::unique_ptr<LiveRequest>> live_;
  // Requests that have ended; kept until their final message is delivered and no step names them.
  std::vector<std::unique_ptr<LiveRequest>> ended_;
  std::set<std::pair<Clock::TimePoint, RequestId>> deadlines_;  // of live requests that have one
  std::array<uint64_t, 4> n_ended_{};                           // by FinishReason
};

}  // namespace lockstep
