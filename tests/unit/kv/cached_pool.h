// CachedPool: one pool with its prefix cache, and sequences that begin, publish their blocks and
// end without an engine. For the tests of the prefix cache.
#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "node/kv/pool/block_table.h"
#include "node/kv/prefix/prefix_cache.h"
#include "tests/support/tokens.h"

namespace lockstep::testing {

// A sequence that holds references to all its blocks.
struct HeldSequence {
  Tokens tokens;
  BlockTable table;
  PrefixChain chain;
};

struct CachedPool {
  CachedPool(int32_t n_blocks, int32_t tokens_per_block,
             EvictionPolicy policy = EvictionPolicy::kLru,
             const std::vector<TenantConfig>& tenants = {})
      : block_size(tokens_per_block),
        pool(n_blocks, tenants),
        cache(pool, tokens_per_block, /*enabled=*/true, policy) {}

  PrefixMatch match(const Tokens& tokens, int32_t max_tokens, PrefixKey key = {}) const {
    PrefixMatch out;
    cache.match(prefix_hashes(std::move(key), tokens, block_size), tokens, max_tokens, out);
    return out;
  }
  // Begins a sequence of these tokens, which are all computed and published.
  HeldSequence begin(Tokens tokens, const PrefixKey& key = {}, int32_t tenant = 0,
                     const Retention& retention = {}) {
    HeldSequence held{.tokens = std::move(tokens), .table = {}, .chain = {}};
    const auto n_tokens = static_cast<int32_t>(held.tokens.size());
    const PrefixHashes hashes = prefix_hashes(key, held.tokens, block_size);
    PrefixMatch match;
    cache.match(hashes, held.tokens, n_tokens, match);
    std::vector<BlockRef> shared = cache.share(match.entries, tenant);
    const int32_t n_all = n_blocks_for(n_tokens, block_size);
    const auto n_new = n_all - static_cast<int32_t>(match.entries.size());
    held.table.start(std::move(*pool.reserve(n_new, tenant)), block_size, n_all, std::move(shared));
    held.chain = cache.start_chain(hashes, match.entries, n_all, tenant, retention);
    cache.make_room(n_new, tenant);
    held.table.grow(n_tokens);
    cache.publish(held.chain, held.tokens, n_tokens, held.table.ids());
    return held;
  }
  void end(HeldSequence& held) {
    held.table.clear();
    PrefixCache::end_chain(held.chain);
    EXPECT_EQ(cache.check_invariants(), 0);
    EXPECT_EQ(pool.check_invariants(true), 0);
  }
  void leave(const Tokens& tokens, const PrefixKey& key = {}, int32_t tenant = 0,
             const Retention& retention = {}) {
    HeldSequence held = begin(tokens, key, tenant, retention);
    end(held);
  }
  // How many blocks of a prompt are found.
  size_t n_found(const Tokens& tokens) const {
    return match(tokens, static_cast<int32_t>(tokens.size())).entries.size();
  }
  void evict(int32_t n_blocks, int32_t tenant = 0) {
    cache.make_room(pool.n_blocks_free() + n_blocks, tenant);
    EXPECT_EQ(cache.check_invariants(), 0);
    EXPECT_EQ(pool.check_invariants(true), 0);
  }

  int32_t block_size;
  BlockPool pool;
  PrefixCache cache;
};

}  // namespace lockstep::testing
