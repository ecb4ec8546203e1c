#include "node/kv/index/prefix_hashes.h"

#include <utility>

namespace lockstep {

PrefixHashes prefix_hashes(PrefixKey key, std::span<const int32_t> tokens, int32_t block_size) {
  PrefixHashes hashes;
  hashes.root = prefix_hash(key);
  hashes.key = std::move(key);
  hashes.blocks = block_hashes(hashes.root, tokens, block_size);
  return hashes;
}

}  // namespace lockstep
