// One sequence in pages of its own, and attention of some of its rows by a back end.
#pragma once

#include <vector>

#include "tests/support/test_stream.h"
#include "tests/unit/kernels/attention_support.h"

namespace lockstep::testing {

inline std::vector<float> attend_with(Isa isa, int n_threads, const AttentionShape& shape,
                                      PagedCache& cache, const StepRows& rows) {
  return attend(*make_stream(isa, n_threads), shape, cache, rows);
}

// One sequence of n tokens in its own pages.
struct OneSequence {
  OneSequence(SeededRandom& random, const AttentionShape& s, int64_t n)
      : shape(s), data(random, s, n), cache(random, s, 1, n) {
    data.put_into(cache, shape, 0);
  }
  std::vector<float> run(Isa isa, int64_t begin, int64_t end, int n_threads = 1) {
    StepRows rows;
    rows.add(shape, data, 0, begin, end);
    return attend_with(isa, n_threads, shape, cache, rows);
  }

  AttentionShape shape;
  SequenceData data;
  PagedCache cache;
};

}  // namespace lockstep::testing
