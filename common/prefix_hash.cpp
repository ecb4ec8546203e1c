#include "common/prefix_hash.h"

#include "common/check.h"
#include "common/hash64.h"

namespace lockstep {

uint64_t prefix_hash(std::string_view salt) {
  uint64_t hash = mix64(salt.size() + 1);
  for (char c : salt) hash = mix64(hash ^ static_cast<unsigned char>(c));
  return hash;
}

uint64_t prefix_hash(uint64_t parent, std::span<const int32_t> block_tokens) {
  uint64_t hash = parent;
  for (int32_t token : block_tokens) hash = mix64(hash + static_cast<uint32_t>(token) + 1);
  return hash;
}

std::vector<uint64_t> block_hashes(uint64_t root, std::span<const int32_t> tokens,
                                   int32_t block_size) {
  CHECK(block_size > 0);
  const auto size = static_cast<size_t>(block_size);
  std::vector<uint64_t> hashes;
  hashes.reserve(tokens.size() / size);
  for (uint64_t hash = root; tokens.size() >= size; tokens = tokens.subspan(size)) {
    hash = prefix_hash(hash, tokens.first(size));
    hashes.push_back(hash);
  }
  return hashes;
}

}  // namespace lockstep
