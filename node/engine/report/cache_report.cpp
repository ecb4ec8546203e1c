#include "node/engine/report/cache_report.h"

#include <algorithm>
#include <unordered_map>

#include "node/engine/core/engine_core.h"
#include "node/engine/report/cache_walk.h"

namespace lockstep {
namespace {

using Piece = CacheWalk::Piece;
using Row = CacheWalk::Row;

template <class T, class Greater>
void keep_greatest(std::vector<T>& values, size_t n, Greater greater) {
  const auto end = values.begin() + static_cast<int64_t>(std::min(n, values.size()));
  std::partial_sort(values.begin(), end, values.end(), greater);
  values.erase(end, values.end());
}

bool has_salt(uint64_t key_hash) {
  static const uint64_t kNone = prefix_hash(PrefixKey());
  return key_hash != kNone;
}

std::vector<KeyOccupancy> occupancy(const CacheWalk& walk) {
  std::unordered_map<uint64_t, int32_t> n_blocks;
  for (const Piece& piece : walk.pieces()) {
    for (uint64_t key_hash : piece.key_hashes) ++n_blocks[key_hash];
  }
  std::vector<KeyOccupancy> out;
  out.reserve(n_blocks.size());
  for (const auto& [key_hash, n] : n_blocks) out.push_back({key_hash, has_salt(key_hash), n});
  return out;
}

std::vector<TenantOccupancy> occupancy(const TenantLedger& ledger) {
  std::vector<TenantOccupancy> out;
  out.reserve(static_cast<size_t>(ledger.n_tenants()));
  for (int32_t tenant = 0; tenant < ledger.n_tenants(); ++tenant) {
    out.push_back({.n_used = ledger.n_used(tenant), .n_cached = ledger.n_cached(tenant)});
  }
  return out;
}

// The rows of a walk, by block.
class Rows {
 public:
  explicit Rows(const CacheWalk& walk) : by_block_(static_cast<size_t>(walk.n_passed())) {
    for (const Piece& piece : walk.pieces()) {
      for (const Row& row : piece.rows)
        by_block_[static_cast<size_t>(raw(row.block))] = {&row, &piece};
    }
  }
  struct Place {
    const Row* row = nullptr;
    const Piece* piece = nullptr;
  };
  // Null for a root, and for a parent that has changed since its child was passed.
  Place parent_of(const Row& row) const {
    if (row.parent == PrefixIndex::kNone) return {};
    const Place place = by_block_[static_cast<size_t>(raw(row.parent))];
    const bool is_it = place.row != nullptr && place.row->depth == row.depth - 1 &&
                       place.row->key_hash == row.key_hash;
    return is_it ? place : Place{};
  }
  Place place_of(const Row& row) const { return by_block_[static_cast<size_t>(raw(row.block))]; }
  template <class F>
  void for_each(F f) const {
    for (const Place& place : by_block_) {
      if (place.row != nullptr) f(*place.row);
    }
  }

 private:
  std::vector<Place> by_block_;  // [n_blocks]
};

// Blocks that more requests reused than any of their children.
std::vector<const Row*> hot_rows(const Rows& rows, size_t n_blocks) {
  std::vector<uint64_t> of_children(n_blocks, 0);  // [n_blocks], the most hits of any child
  rows.for_each([&](const Row& row) {
    if (const Row* parent = rows.parent_of(row).row) {
      uint64_t& most = of_children[static_cast<size_t>(raw(parent->block))];
      most = std::max(most, row.n_hits);
    }
  });
  std::vector<const Row*> out;
  rows.for_each([&](const Row& row) {
    if (row.n_hits > of_children[static_cast<size_t>(raw(row.block))]) out.push_back(&row);
  });
  return out;
}

// Empty if a block between the root and `end` has changed during the walk.
std::vector<int32_t> first_tokens(const Rows& rows, const Row& end, int32_t block_size, int32_t n) {
  std::vector<Rows::Place> path;
  for (Rows::Place at = rows.place_of(end); at.row != nullptr; at = rows.parent_of(*at.row)) {
    path.push_back(at);
  }
  std::vector<int32_t> out;
  if (path.back().row->depth != 1) return out;
  for (size_t i = path.size(); i-- > 0 && path[i].row->tokens_at >= 0;) {
    const auto first = path[i].piece->tokens.begin() + path[i].row->tokens_at;
    out.insert(out.end(), first, first + block_size);
  }
  out.resize(std::min(out.size(), static_cast<size_t>(n)));
  return out;
}

uint64_t n_blocks_saved(const Row& row) { return row.n_hits * static_cast<uint64_t>(row.depth); }

}  // namespace

CacheReport count_cache(const EngineCore& core) {
  const PrefixCache& cache = core.scheduler().cache();
  const PrefixIndex& index = cache.index();
  CacheReport report;
  report.is_enabled = cache.is_enabled();
  report.block_size = index.block_size();
  report.n_indexed = index.n_entries();
  report.n_keys = index.n_keys();
  report.tenants = occupancy(core.scheduler().pool().ledger());
  return report;
}

void add_walk(CacheReport& report, const CacheWalk& walk, const CacheReportLimits& limits) {
  report.keys = occupancy(walk);
  keep_greatest(report.keys, limits.n_keys, [](const KeyOccupancy& a, const KeyOccupancy& b) {
    return a.n_blocks > b.n_blocks;
  });
  const Rows rows(walk);
  std::vector<const Row*> hot = hot_rows(rows, static_cast<size_t>(walk.n_passed()));
  keep_greatest(hot, limits.n_prefixes,
                [](const Row* a, const Row* b) { return n_blocks_saved(*a) > n_blocks_saved(*b); });
  for (const Row* row : hot) {
    report.prefixes.push_back(
        {.hash = row->hash,
         .key_hash = row->key_hash,
         .has_salt = has_salt(row->key_hash),
         .n_blocks = row->depth,
         .n_children = row->n_children,
         .n_hits = row->n_hits,
         .last_used = row->last_used,
         .first_tokens = first_tokens(rows, *row, report.block_size, limits.n_first_tokens)});
  }
}

CacheReport make_cache_report(const EngineCore& core, const CacheReportLimits& limits) {
  CacheReport report = count_cache(core);
  CacheWalk walk(limits.n_first_tokens);
  while (!walk.step(core.scheduler().cache().index(), core.cache_history())) {
  }
  add_walk(report, walk, limits);
  return report;
}

}  // namespace lockstep
