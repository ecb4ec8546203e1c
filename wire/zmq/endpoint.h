// Parses and compares the endpoints of settings: "tcp://HOST:PORT" or "ipc://PATH". Pure; any
// thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace lockstep::wire {

// Returns one spelling for equal endpoints whose host or port is written differently; nullopt if
// the text is not an endpoint.
std::optional<std::string> canonical_endpoint(std::string_view endpoint);

// The endpoint at which another machine reaches a socket that a node has bound to `bound`, where
// `node` is the endpoint at which it reaches the node: the host of `node` with the port of `bound`,
// because a node may bind 0.0.0.0 or *. A node that is reached by ipc, or at a host that is this
// one, may also bind an ipc endpoint, which stays as it is; a tcp port of a node that is reached by
// ipc is on 127.0.0.1. nullopt: there is no such endpoint.
std::optional<std::string> reachable_endpoint(std::string_view node, std::string_view bound);

// Listener: a setting with an address to listen on.
struct Listener {
  std::string field;     // the setting's name, for example "listen"
  std::string endpoint;  // empty = not listening
};

// Returns the first two listeners with the same address, of which the second could not start.
// Listeners with port 0 never conflict, because each gets its own free port.
std::optional<std::pair<Listener, Listener>> same_listeners(std::span<const Listener> listeners);

}  // namespace lockstep::wire
