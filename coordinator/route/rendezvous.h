// rendezvous: highest-random-weight hashing (Thaler and Ravishankar, 1996): everybody who hashes
// the same key over the same nodes picks the same one, and a node that leaves moves only the keys
// that it had. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/hash64.h"
#include "common/prefix_hash.h"

namespace lockstep {

// A hash of a name or a text, the same in every process of one build.
inline uint64_t name_hash(std::string_view name) { return prefix_hash(name); }

// The node with the highest weight has the key.
inline uint64_t rendezvous_weight(uint64_t key, std::string_view endpoint) {
  return mix64(key ^ name_hash(endpoint));
}

}  // namespace lockstep
