// prefix_hash: names a KV block by the hash of the whole prefix that ends with it. A node publishes
// its blocks under these hashes (KV events), and a coordinator computes them for a prompt, so their
// values are part of the wire protocol and must never change; docs/kv-cache.md, "The hash of a
// prefix", gives the formula. The hash has no secret, and it is a hint only: the node compares
// tokens before it uses a block. Pure functions; any thread.
//
//   prefix_hash(salt) ── [t0 … t15] ──▶ hash of block 0 ── [t16 … t31] ──▶ hash of block 1 …
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace lockstep {

// The hash of a prefix without blocks. `salt` is the request's cache_salt, any bytes; empty: none.
uint64_t prefix_hash(std::string_view salt);
// The hash of the prefix that has the hash `parent` and then these tokens.
uint64_t prefix_hash(uint64_t parent, std::span<const int32_t> block_tokens);
// For each full block of `tokens` the hash of the prefix that ends with the block, where `root` is
// prefix_hash(salt): [n_tokens / block_size]. CHECKs that block_size is positive.
std::vector<uint64_t> block_hashes(uint64_t root, std::span<const int32_t> tokens,
                                   int32_t block_size);

}  // namespace lockstep
