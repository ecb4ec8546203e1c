// wait_http_get: sends one GET request to an admin port, with a deadline. Any thread; blocks.
#pragma once

#include <chrono>
#include <string>

#include "common/host_port.h"
#include "common/result.h"

namespace lockstep {

// Returns the body of a response with status 200. Any other response, or none within `timeout`, is
// an Error that names the address.
Result<std::string> wait_http_get(const HostPort& address, const std::string& path,
                                  std::chrono::milliseconds timeout);

}  // namespace lockstep
