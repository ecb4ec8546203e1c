#include "coordinator/requests/request_state.h"

namespace lockstep {

std::string_view to_string(RequestState state) {
  switch (state) {
    case RequestState::kQueued:
      return "queued";
    case RequestState::kPlaced:
      return "placed";
    case RequestState::kRunning:
      return "running";
    case RequestState::kResuming:
      return "resuming";
    case RequestState::kEnded:
      break;
  }
  return "ended";
}

bool is_legal_transition(RequestState from, RequestState to) {
  using enum RequestState;
  switch (to) {
    case kQueued:
      return from == kPlaced;
    case kPlaced:
      return from == kQueued;
    case kRunning:
      return from == kPlaced || from == kResuming;
    case kResuming:
      return from == kRunning;
    case kEnded:
      break;
  }
  return from != kEnded;
}

std::string_view to_string(LossCause cause) {
  switch (cause) {
    case LossCause::kLost:
      return "lost";
    case LossCause::kStall:
      return "stall";
    case LossCause::kDrain:
      return "drain";
    case LossCause::kGap:
      break;
  }
  return "gap";
}

}  // namespace lockstep
