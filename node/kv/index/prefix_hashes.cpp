#include "node/kv/index/prefix_hashes.h"

#include <utility>

namespace lockstep {

PrefixHashes prefix_hashes(PrefixKey key, std::span<const int32_t> tokens, int32_t block_size) {
  PrefixHashes hashes;
  hashes.root = prefix_hash(key);
  hashes.key = std::move(key);
  const auto n_blocks = static_cast<int32_t>(tokens.size()) / block_size;
  hashes.blocks.reserve(static_cast<size_t>(n_blocks));
  uint64_t hash = hashes.root;
  for (int32_t b = 0; b < n_blocks; ++b) {
    hash = prefix_hash(hash, block_of(tokens, b, block_size));
    hashes.blocks.push_back(hash);
  }
  return hashes;
}

}  // namespace lockstep
