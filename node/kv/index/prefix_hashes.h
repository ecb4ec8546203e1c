// PrefixHashes: the block hashes that a prompt is looked up by. Computed once per request, and
// again when a sequence with outputs is requeued. Plain data.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "node/kv/index/prefix_index.h"

namespace lockstep {

// A prompt's key, and for each of its full blocks the hash of the prefix that ends with the block.
struct PrefixHashes {
  PrefixKey key;
  uint64_t root = 0;             // hash of the key; 0: not hashed, matches nothing
  std::vector<uint64_t> blocks;  // [n_tokens / block_size]
};
PrefixHashes prefix_hashes(PrefixKey key, std::span<const int32_t> tokens, int32_t block_size);

// The tokens of block number `block`, all of which `tokens` must contain.
inline std::span<const int32_t> block_of(std::span<const int32_t> tokens, int32_t block,
                                         int32_t block_size) {
  return tokens.subspan(static_cast<size_t>(block) * static_cast<size_t>(block_size),
                        static_cast<size_t>(block_size));
}

}  // namespace lockstep
