// ForwarderConfig: the limits of the requests that a coordinator forwards. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "common/memory/byte_budget.h"

namespace lockstep {

struct ForwarderConfig {
  std::optional<uint64_t> seed = std::nullopt;  // for requests without a seed; absent = random
  size_t max_inflight = 16384;
  // Budget for the bytes that requests hold while they are in flight; null = no limit.
  std::shared_ptr<ByteBudget> bytes = nullptr;
  std::chrono::milliseconds request_timeout{3'600'000};  // from dispatch to the final message
  std::chrono::milliseconds cancel_timeout{10'000};      // from cancel to the node's final message
  // How long a request that no node had accepted waits for a node; 0 = it is refused at once.
  std::chrono::milliseconds queue_timeout{0};
  // How long a request that lost its node waits for another one; 0 = it ends at once.
  std::chrono::milliseconds resume_timeout{30'000};
};

}  // namespace lockstep
