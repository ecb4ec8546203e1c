// The HTTP server's settings as plain values, so that code that reads settings does not include the
// server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/host_port.h"
#include "common/memory/byte_budget.h"
#include "common/service/http/http_message.h"

namespace lockstep {

struct HttpServerConfig {
  HostPort address;
  int64_t n_threads = 1;
  size_t max_connections = 2048;  // further connections wait in the kernel's backlog
  bool insecure = false;          // on loopback, also accept Host headers other than loopback's
  HttpLimits limits;
  std::shared_ptr<ByteBudget> bytes = nullptr;  // budget for bodies; null = no limit
};

}  // namespace lockstep
