// RequestState: where a client's request is between its submission and its final message. Every
// live request is in exactly one state, which says who has to act next and what limits the wait.
// Pure.
//
//   state      the request                              acts next     limit of the wait
//   kQueued    has no node yet                          coordinator   queue_timeout
//   kPlaced    was sent to a node                       the node      request_timeout
//   kRunning   was accepted by its node                 the node      request_timeout
//   kResuming  was accepted before, and its node was    coordinator,  resume_timeout, counted while
//              lost or gave it up                       new node      no node has the request
//   kEnded     has had its final message
//
// State transitions; every other one is a bug:
//
//   from                 to          when
//   kQueued              kPlaced     a node's link took the request
//   kPlaced              kQueued     its node was lost before it accepted, and no other takes it
//   kPlaced, kResuming   kRunning    the node accepted the request
//   kRunning             kResuming   the node was lost, drains, stalls, or its messages have a gap
//   every state          kEnded      the final message is delivered
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep {

enum class RequestState : uint8_t { kQueued, kPlaced, kRunning, kResuming, kEnded };

std::string_view to_string(RequestState state);  // "queued", "placed", ...
bool is_legal_transition(RequestState from, RequestState to);

// Why a request left a node before its end.
enum class LossCause : uint8_t {
  kLost,   // the node died, restarted, was silent for too long, or the connection to it broke
  kStall,  // the node sends heartbeats but makes no progress
  kDrain,  // the node shuts down
  kGap,    // a message of the node did not arrive
};

std::string_view to_string(LossCause cause);  // "lost", "stall", "drain", "gap"

}  // namespace lockstep
