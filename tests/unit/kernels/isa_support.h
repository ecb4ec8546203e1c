// Runs one op on every back end that this machine has.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "kernels/ops.h"
#include "tests/support/test_stream.h"

namespace lockstep::testing {

// Calls fn(stream) for every instruction set but the reference, with 1 to 3 threads.
template <class Fn>
void for_each_stream(const Fn& fn) {
  for (Isa isa : available_isas().subspan(1)) {
    for (int n_threads = 1; n_threads <= 3; ++n_threads) {
      const std::unique_ptr<Stream> stream = make_stream(isa, n_threads);
      SCOPED_TRACE(std::string(stream->name()) + ", threads " + std::to_string(n_threads));
      fn(*stream);
    }
  }
}

inline std::unique_ptr<Stream> reference_stream() { return make_stream(Isa::kReference, 1); }

// The int8 form of n_tokens rows of k values.
struct QuantizedBuffer {
  std::vector<uint8_t> q;
  std::vector<float> scale, sum;
  std::vector<int32_t> q_sum;
  QuantizedActs acts;

  QuantizedBuffer(int64_t n_tokens, int64_t k)
      : q(static_cast<size_t>(n_tokens * k), 0x55),
        scale(q.size() / 32, -1.0f),
        sum(scale),
        q_sum(scale.size(), -1) {
    acts.q = view(q.data(), {n_tokens, k});
    acts.scale = view(scale.data(), {n_tokens, k / 32});
    acts.sum = view(sum.data(), {n_tokens, k / 32});
    acts.q_sum = view(q_sum.data(), {n_tokens, k / 32});
  }
};

}  // namespace lockstep::testing
