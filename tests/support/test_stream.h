// make_stream: a CPU stream for any op that a test runs.
#pragma once

#include <memory>

#include "common/memory/ledger.h"
#include "kernels/kv_layout.h"
#include "kernels/ops.h"

namespace lockstep::testing {

inline std::unique_ptr<Stream> make_stream(Isa isa, int n_threads) {
  static MemoryLedger ledger;
  const StreamLimits limits{.max_tokens = 4096,
                            .max_dim = 65536,
                            .head_dim = kMaxHeadDim,
                            .max_samples = 4096,
                            .vocab_size = 65536};
  return make_cpu_stream({.isa = isa, .n_threads = n_threads, .limits = limits}, ledger);
}

}  // namespace lockstep::testing
