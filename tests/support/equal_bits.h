// equal_bits: compares float results as docs/numerics.md section 0 requires: equal bits, or NaN on
// both sides. A failure names the first difference and the number of differences.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <span>

namespace lockstep::testing {

inline bool equal_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (a != a && b != b);
}

inline ::testing::AssertionResult equal_bits(std::span<const float> expected,
                                             std::span<const float> actual) {
  if (expected.size() != actual.size()) {
    return ::testing::AssertionFailure() << expected.size() << " vs " << actual.size() << " values";
  }
  size_t n_different = 0;
  size_t first = 0;
  for (size_t i = expected.size(); i-- > 0;) {
    if (equal_bits(expected[i], actual[i])) continue;
    first = i;
    ++n_different;
  }
  if (n_different == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << n_different << " of " << expected.size() << " values differ, first at " << first
         << ": expected " << expected[first] << ", got " << actual[first];
}

}  // namespace lockstep::testing
