// How far one next-token distribution is from another.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/model_runner.h"

namespace lockstep::testing {

// [vocab_size], in double.
inline std::vector<double> log_probabilities(const Logits& logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float z : logits) sum += std::exp(z - max);
  std::vector<double> out;
  out.reserve(logits.size());
  for (const float z : logits) out.push_back(z - max - std::log(sum));
  return out;
}

// The Kullback-Leibler divergence, in nats, of the distribution of `got` from that of `expected`.
inline double divergence(const Logits& expected, const Logits& got) {
  const std::vector<double> p = log_probabilities(expected), q = log_probabilities(got);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

}  // namespace lockstep::testing
