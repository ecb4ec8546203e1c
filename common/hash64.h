// hash64: the 64-bit hash of everything that is hashed in memory: prefixes, block checksums, the
// digest of a step plan, request ids. Not cryptographic; the bytes of model files have XXH3. Pure
// functions; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "common/check.h"

namespace lockstep {

inline constexpr uint64_t kHash64Odd1 = 0xff51afd7ed558ccdu;
inline constexpr uint64_t kHash64Odd2 = 0xc4ceb9fe1a85ec53u;

// MurmurHash3's 64-bit finaliser, fmix64 (Austin Appleby, public domain,
// https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp): a bijection of which every
// input bit reaches every output bit; 0 stays 0. Prefix hashes are chains of it, and they leave the
// process in KV events: its values must never change.
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ x >> 33) * kHash64Odd1;
  x = (x ^ x >> 33) * kHash64Odd2;
  return x ^ x >> 33;
}

// The hash of `bytes`, whose size is a multiple of 8, and of `seed`. One changed bit in either
// always changes it: every step is a bijection of what it takes in and of the sum so far. There are
// four independent sums with one multiplication a word, as many as a core has under way at a time;
// only the steps that join them take the whole finaliser. Its values may change from build to
// build.
inline uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed) {
  constexpr size_t kWord = sizeof(uint64_t), kSums = 4;
  CHECK_EQ(bytes.size() % kWord, 0u);
  uint64_t hash = mix64(seed ^ bytes.size());
  std::array<uint64_t, kSums> sums = {kHash64Odd1, ~kHash64Odd1, kHash64Odd2, ~kHash64Odd2};
  const auto add = [](uint64_t& sum, const std::byte* from) {
    uint64_t word;
    std::memcpy(&word, from, kWord);
    sum = (sum ^ word) * kHash64Odd1;
    sum ^= sum >> 33;
  };
  for (; bytes.size() >= kSums * kWord; bytes = bytes.subspan(kSums * kWord)) {
    for (size_t i = 0; i < kSums; ++i) add(sums[i], &bytes[i * kWord]);
  }
  for (; !bytes.empty(); bytes = bytes.subspan(kWord)) add(sums[0], bytes.data());
  for (uint64_t sum : sums) hash = mix64(hash ^ sum);
  return hash;
}

}  // namespace lockstep
