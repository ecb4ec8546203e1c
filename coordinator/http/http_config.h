// The HTTP server's settings: values only, for whoever reads settings and never serves.
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
  std::chrono::milliseconds idle_timeout{75'000};   // between two requests of a connection
  std::chrono::milliseconds write_timeout{30'000};  // a client that reads nothing is gone
};

struct HttpServerConfig {
  HostPort address;
  int64_t n_threads = 1;
  size_t max_connections = 2048;  // more wait in the kernel's backlog
  bool insecure = false;          // other Hosts than loopback's are answered on loopback too
  HttpLimits limits;
  std::shared_ptr<ByteBudget> bytes = nullptr;  // of bodies; null = no limit
};

}  // namespace lockstep
