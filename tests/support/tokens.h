// Token ids for prompts of tests: counting(1, 12) + counting(40, 3).
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

namespace lockstep::testing {

using Tokens = std::vector<int32_t>;

inline Tokens counting(int32_t first, int32_t n) {
  Tokens tokens(static_cast<size_t>(n));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

inline Tokens operator+(Tokens a, const Tokens& b) {
  for (int32_t token : b) a.push_back(token);  // g++ 12 warns wrongly about insert() at -O3
  return a;
}

}  // namespace lockstep::testing
