// Stands in for xxHash where lockstep-gpu-check is built without it: the functions that
// node/model/weights/fingerprint.cpp calls, with another hash. Fingerprints of such a build are
// comparable among themselves.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/hash64.h"

struct XXH3_state_s {
  uint64_t sum = 0;
};
using XXH3_state_t = XXH3_state_s;
struct XXH128_hash_t {
  uint64_t low64, high64;
};
struct XXH128_canonical_t {
  unsigned char digest[16];
};

inline XXH3_state_t* XXH3_createState() { return new XXH3_state_t; }
inline void XXH3_freeState(XXH3_state_t* state) { delete state; }
inline void XXH3_128bits_reset(XXH3_state_t* state) { state->sum = 0; }
inline void XXH3_128bits_update(XXH3_state_t* state, const void* data, size_t n) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < n; ++i) state->sum = lockstep::mix64(state->sum + bytes[i] + 1);
}
inline XXH128_hash_t XXH3_128bits_digest(const XXH3_state_t* state) {
  return {state->sum, lockstep::mix64(~state->sum)};
}
inline void XXH128_canonicalFromHash(XXH128_canonical_t* to, XXH128_hash_t hash) {
  for (int i = 0; i < 8; ++i) {
    to->digest[i] = static_cast<unsigned char>(hash.high64 >> (56 - 8 * i));
    to->digest[8 + i] = static_cast<unsigned char>(hash.low64 >> (56 - 8 * i));
  }
}
