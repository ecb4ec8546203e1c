// DecodeFailures: counts failures while decoding, by cause and by outcome. The causes' names are
// label values of lockstep_decode_failures_total. Counters only grow. Plain data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "node/step/executor.h"

namespace lockstep {

enum class DecodeFailureCause : uint8_t {
  kNonfinite,       // a row's logits held a NaN or an Inf
  kCompute,         // a rank threw
  kCommunication,   // a collective timed out or was aborted
  kPlanMismatch,    // ranks had different plans, or a result belonged to another step
  kHostMemory,      // a host KV block was not what had been stored; never fails a request
  kResumeMismatch,  // a resumed output was not sampled as it was emitted; never retried
};
inline constexpr size_t kNumDecodeFailureCauses = 6;

struct DecodeFailures {
  using Counters = std::array<uint64_t, kNumDecodeFailureCauses>;  // by cause

  Counters n_retried{};  // steps that were undone and whose sequences ran again
  Counters n_failed{};   // requests that ended with decode_failed

  void retried(DecodeFailureCause cause) { ++n_retried[static_cast<size_t>(cause)]; }
  void failed(DecodeFailureCause cause) { ++n_failed[static_cast<size_t>(cause)]; }
  uint64_t n_retried_of(DecodeFailureCause cause) const {
    return n_retried[static_cast<size_t>(cause)];
  }
  uint64_t n_failed_of(DecodeFailureCause cause) const {
    return n_failed[static_cast<size_t>(cause)];
  }
  uint64_t n_retried_in_all() const {
    return std::accumulate(n_retried.begin(), n_retried.end(), uint64_t{0});
  }
};

constexpr std::string_view to_string(DecodeFailureCause cause) {
  constexpr std::array<std::string_view, kNumDecodeFailureCauses> kNames = {
      "nonfinite", "compute", "communication", "plan_mismatch", "host_memory", "resume_mismatch"};
  return kNames[static_cast<size_t>(cause)];
}

// The cause for a status other than kOk.
constexpr DecodeFailureCause cause_of(StepStatus failed) {
  switch (failed) {
    case StepStatus::kPlanMismatch:
      return DecodeFailureCause::kPlanMismatch;
    case StepStatus::kCommFailed:
      return DecodeFailureCause::kCommunication;
    case StepStatus::kBadHostBlock:
      return DecodeFailureCause::kHostMemory;
    default:
      return DecodeFailureCause::kCompute;
  }
}

}  // namespace lockstep
