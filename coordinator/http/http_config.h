// The HTTP server's settings as plain values, so that code that reads settings does not include the
// server.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/host_port.h"
#include "common/memory/byte_budget.h"

namespace lockstep {

struct HttpLimits {
  size_t body_bytes = 16u << 20;
  uint32_t header_bytes = 16u << 10;
  std::chrono::milliseconds header_timeout{10'000};  // from the first byte to the last header
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds idle_timeout{75'000};  // between two requests of a connection
  // A client that reads nothing for this long is disconnected.
  std::chrono::milliseconds write_timeout{30'000};
};

struct HttpServerConfig {
  HostPort address;
  int64_t n_threads = 1;
  size_t max_connections = 2048;  // further connections wait in the kernel's backlog
  bool insecure = false;          // on loopback, also accept Host headers other than loopback's
  HttpLimits limits;
  std::shared_ptr<ByteBudget> bytes = nullptr;  // budget for bodies; null = no limit
};

}  // namespace lockstep
