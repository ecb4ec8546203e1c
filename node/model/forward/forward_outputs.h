// ForwardOutputs: what the forward pass of a step leaves for the host, side by side in one piece of
// memory, so that one copy brings it there. The same layout serves the device's memory and the
// host's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "node/step/step_plan.h"

namespace lockstep {

struct ForwardOutputs {
  ForwardOutputs() = default;
  // memory: bytes(limits) long, 64-byte aligned.
  ForwardOutputs(std::byte* memory, const StepLimits& limits);
  static int64_t bytes(const StepLimits& limits);

  int32_t* ids = nullptr;         // [max_samples], also on ranks other than 0
  float* logprobs = nullptr;      // [max_samples]
  int32_t* top_ids = nullptr;     // [max_samples, kMaxTopLogprobs]
  float* top_logprobs = nullptr;  // [max_samples, kMaxTopLogprobs]
  uint8_t* finite = nullptr;      // [max_samples]
  uint8_t* kv_finite = nullptr;   // [max_tokens]; 1 = the row's k and v are finite in all layers
};

}  // namespace lockstep
