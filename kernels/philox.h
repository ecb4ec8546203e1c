// Philox 4x32-10: a counter-based random generator (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). The result is a function of key and counter alone, so a
// request can be resumed at any output token without saved generator state.
#pragma once

#include <array>
#include <cstdint>

namespace lockstep {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

constexpr PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xd2511f53u} * counter[0];
    const uint64_t product1 = uint64_t{0xcd9e8d57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9e3779b9u;  // golden ratio
    key[1] += 0xbb67ae85u;  // sqrt(3) - 1
  }
  return counter;
}

// The random number in [0, 1) of one output token. It has 24 bits, so it is exact in f32.
constexpr float random_unit(uint64_t seed, uint32_t output_idx, uint32_t choice) {
  const PhiloxKey key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  const uint32_t word = philox4x32_10({output_idx, choice, 0, 0}, key)[0];
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

}  // namespace lockstep
