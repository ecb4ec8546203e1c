// Endpoints as settings write them: "tcp://HOST:PORT" or "ipc://PATH". Pure; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace lockstep::wire {

// One spelling for endpoints that are the same but for how host and port are written; nothing for
// what is no endpoint.
std::optional<std::string> canonical_endpoint(std::string_view endpoint);

// A setting that says where to listen.
struct Listener {
  std::string field;     // "listen"
  std::string endpoint;  // empty = it does not listen
};

// The first two that would listen on the same address: the second cannot start. Each one with port
// 0 gets another free port.
std::optional<std::pair<Listener, Listener>> same_listeners(std::span<const Listener> listeners);

}  // namespace lockstep::wire
