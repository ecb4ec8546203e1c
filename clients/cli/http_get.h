// http_get: one GET of an admin port, with a deadline. Any thread; blocks.
#pragma once

#include <chrono>
#include <string>

#include "common/host_port.h"
#include "common/result.h"

namespace lockstep {

// The body of a 200; anything else, or no answer in time, is an Error that names the address.
Result<std::string> wait_http_get(const HostPort& address, const std::string& path,
                                  std::chrono::milliseconds timeout);

}  // namespace lockstep
