// PrefixHashes: what a prompt is looked up by. Computed once per request; plain data.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "node/kv/index/prefix_index.h"

namespace lockstep {

// Of a prompt: its key and the hash of the prefix up to the end of each of its full blocks.
struct PrefixHashes {
  PrefixKey key;
  uint64_t root = 0;             // of the key; 0: not hashed, finds nothing
  std::vector<uint64_t> blocks;  // [n_tokens / block_size]
};
PrefixHashes prefix_hashes(PrefixKey key, std::span<const int32_t> tokens, int32_t block_size);

// Block `block` of these tokens, which must be there whole.
inline std::span<const int32_t> block_of(std::span<const int32_t> tokens, int32_t block,
                                         int32_t block_size) {
  return tokens.subspan(static_cast<size_t>(block) * static_cast<size_t>(block_size),
                        static_cast<size_t>(block_size));
}

}  // namespace lockstep
