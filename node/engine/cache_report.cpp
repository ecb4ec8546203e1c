#include "node/engine/cache_report.h"

#include <algorithm>
#include <map>

#include "node/engine/engine_core.h"

namespace lockstep {
namespace {

template <class T, class Greater>
void keep_greatest(std::vector<T>& values, size_t n, Greater greater) {
  const auto end = values.begin() + static_cast<int64_t>(std::min(n, values.size()));
  std::partial_sort(values.begin(), end, values.end(), greater);
  values.erase(end, values.end());
}

std::vector<KeyOccupancy> occupancy(const PrefixIndex& index) {
  std::map<PrefixKey, int32_t> n_blocks;
  for (int32_t i = 0; i < index.n_blocks(); ++i) {
    if (index.contains(BlockId{i})) ++n_blocks[index.key(BlockId{i})];
  }
  std::vector<KeyOccupancy> out;
  out.reserve(n_blocks.size());
  for (const auto& [key, n] : n_blocks) out.push_back({prefix_hash(key), !key.salt.empty(), n});
  return out;
}

std::vector<TenantOccupancy> occupancy(const KvPools& pools) {
  std::vector<TenantOccupancy> out(static_cast<size_t>(pools.front().ledger().n_tenants()));
  for (const BlockPool& pool : pools) {
    for (size_t t = 0; t < out.size(); ++t) {
      out[t].n_used += pool.ledger().n_used(static_cast<int32_t>(t));
      out[t].n_cached += pool.ledger().n_cached(static_cast<int32_t>(t));
    }
  }
  return out;
}

int32_t depth_of(const PrefixIndex& index, BlockId node) {
  int32_t depth = 0;
  for (; node != PrefixIndex::kNone; node = index.parent(node)) ++depth;
  return depth;
}

std::vector<int32_t> first_tokens(const PrefixIndex& index, BlockId node, int32_t n) {
  std::vector<BlockId> path;
  for (; node != PrefixIndex::kNone; node = index.parent(node)) path.push_back(node);
  std::vector<int32_t> out;
  for (size_t i = path.size(); i-- > 0 && static_cast<int32_t>(out.size()) < n;) {
    const std::span<const int32_t> tokens = index.tokens(path[i]);
    out.insert(out.end(), tokens.begin(), tokens.end());
  }
  out.resize(std::min(out.size(), static_cast<size_t>(n)));
  return out;
}

// Blocks that more requests found than any of their children.
struct HotNode {
  BlockId node;
  uint64_t n_tokens_saved;
};

std::vector<HotNode> hot_nodes(const PrefixIndex& index, const CacheHistory& history,
                               std::vector<int32_t>& n_children) {
  const auto n = static_cast<size_t>(index.n_blocks());
  std::vector<uint64_t> of_children(n, 0);  // the most hits of any
  n_children.assign(n, 0);
  const auto hits = [&](BlockId node) { return history.use_of(node, index.hash(node)).n_hits; };
  for (int32_t i = 0; i < index.n_blocks(); ++i) {
    const BlockId node{i};
    if (!index.contains(node) || index.parent(node) == PrefixIndex::kNone) continue;
    const auto parent = static_cast<size_t>(raw(index.parent(node)));
    ++n_children[parent];
    of_children[parent] = std::max(of_children[parent], hits(node));
  }
  std::vector<HotNode> out;
  for (int32_t i = 0; i < index.n_blocks(); ++i) {
    const BlockId node{i};
    if (!index.contains(node) || hits(node) <= of_children[static_cast<size_t>(i)]) continue;
    out.push_back({node, hits(node) * static_cast<uint64_t>(depth_of(index, node))});
  }
  return out;
}

}  // namespace

CacheReport make_cache_report(const EngineCore& core, const CacheReportLimits& limits) {
  const PrefixCache& cache = core.scheduler().cache();
  const PrefixIndex& index = cache.index();
  CacheReport report;
  report.is_enabled = cache.is_enabled();
  report.block_size = index.block_size();
  report.n_indexed = index.n_nodes();
  report.n_keys = index.n_keys();
  report.tenants = occupancy(core.scheduler().pools());
  report.keys = occupancy(index);
  keep_greatest(report.keys, limits.n_keys, [](const KeyOccupancy& a, const KeyOccupancy& b) {
    return a.n_blocks > b.n_blocks;
  });
  std::vector<int32_t> n_children;
  std::vector<HotNode> hot = hot_nodes(index, core.cache_history(), n_children);
  keep_greatest(hot, limits.n_prefixes, [](const HotNode& a, const HotNode& b) {
    return a.n_tokens_saved > b.n_tokens_saved;
  });
  for (const HotNode& h : hot) {
    const CacheHistory::Use use = core.cache_history().use_of(h.node, index.hash(h.node));
    report.prefixes.push_back({.hash = index.hash(h.node),
                               .key_hash = prefix_hash(index.key(h.node)),
                               .has_salt = !index.key(h.node).salt.empty(),
                               .n_blocks = depth_of(index, h.node),
                               .n_children = n_children[static_cast<size_t>(raw(h.node))],
                               .n_hits = use.n_hits,
                               .last_used = use.last,
                               .first_tokens = first_tokens(index, h.node, limits.n_first_tokens)});
  }
  return report;
}

}  // namespace lockstep
