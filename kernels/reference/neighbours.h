// The tree of neighbours (docs/numerics.md section 0) over adjacent values.
#pragma once

#include <cstddef>
#include <span>

namespace lockstep::reference {

// Sums at least one value in place: level by level, values 2i and 2i + 1 are added; an odd last one
// stays as it is.
inline float sum_neighbours(std::span<float> values) {
  size_t n = values.size();
  while (n > 1) {
    const size_t n_pairs = n / 2;
    for (size_t i = 0; i < n_pairs; ++i) values[i] = values[2 * i] + values[2 * i + 1];
    if (n % 2 == 1) values[n_pairs] = values[n - 1];
    n = n_pairs + n % 2;
  }
  return values[0];
}

}  // namespace lockstep::reference
