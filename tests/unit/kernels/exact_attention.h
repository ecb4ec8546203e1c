// Attention of one query in double: what the ops of any order and precision come close to.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

namespace lockstep::testing {

// softmax(q K / sqrt(head_dim)) V. q: [head_dim]; keys, values: [n_keys, head_dim], n_keys > 0.
inline std::vector<double> exact_attention(std::span<const float> q, std::span<const float> keys,
                                           std::span<const float> values) {
  const size_t dim = q.size(), n_keys = keys.size() / dim;
  std::vector<double> scores(n_keys, 0.0);
  for (size_t key = 0; key < n_keys; ++key) {
    for (size_t d = 0; d < dim; ++d) scores[key] += double{q[d]} * double{keys[key * dim + d]};
    scores[key] /= std::sqrt(static_cast<double>(dim));
  }
  const double max = *std::ranges::max_element(scores);
  double sum = 0;
  std::vector<double> out(dim, 0.0);
  for (size_t key = 0; key < n_keys; ++key) {
    const double p = std::exp(scores[key] - max);
    sum += p;
    for (size_t d = 0; d < dim; ++d) out[d] += p * double{values[key * dim + d]};
  }
  for (double& v : out) v /= sum;
  return out;
}

}  // namespace lockstep::testing
