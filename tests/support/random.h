// Seeded randomness for tests. The seed is printed with every failure.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace lockstep::testing {

class SeededRandom {
 public:
  explicit SeededRandom(uint64_t seed)
      : trace_(__FILE__, __LINE__, "seed " + std::to_string(seed)), engine_(seed) {}

  int64_t integer(int64_t low, int64_t high) {  // inclusive
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  float normal(float sigma = 1.0f) { return std::normal_distribution<float>(0.0f, sigma)(engine_); }
  bool chance(double p) { return std::bernoulli_distribution(p)(engine_); }
  // Returns standard normal values with a few large outliers, as in activations.
  std::vector<float> activations(size_t n) {
    std::vector<float> x(n);
    for (float& v : x) v = normal() * (chance(0.01) ? 20.0f : 1.0f);
    return x;
  }
  std::mt19937_64& engine() { return engine_; }

 private:
  ::testing::ScopedTrace trace_;
  std::mt19937_64 engine_;
};

}  // namespace lockstep::testing
