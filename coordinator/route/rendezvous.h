// rendezvous: highest-random-weight hashing (Thaler and Ravishankar, 1996): everybody who hashes
// the same key over the same nodes picks the same one, and a node that leaves moves only the keys
// that it had. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/hash64.h"

namespace lockstep {

// A hash of a name or a text, the same in every process of one build.
constexpr uint64_t name_hash(std::string_view name) {
  uint64_t hash = mix64(name.size() + 1);
  for (char c : name) hash = mix64(hash ^ static_cast<unsigned char>(c));
  return hash;
}

// The node with the highest weight has the key.
constexpr uint64_t rendezvous_weight(uint64_t key, std::string_view endpoint) {
  return mix64(key ^ name_hash(endpoint));
}

}  // namespace lockstep
