#include "coordinator/route/recent_prefixes.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace lockstep {
namespace {

// The lengths of a prefix, in blocks, that are looked at: 1, 2, …, 16, 20, …, 128, 144, …
size_t next_length(size_t length) { return length + (length < 16 ? 1 : length < 128 ? 4 : 16); }

}  // namespace

void RecentPrefixes::age(Clock::TimePoint now) {
  if (now - began_ < lifetime_) return;
  const bool is_long_ago = now - began_ >= 2 * lifetime_;
  begin_generation(now);
  if (is_long_ago) generations_[1].clear();
}

void RecentPrefixes::begin_generation(Clock::TimePoint now) {
  std::swap(generations_[0], generations_[1]);
  generations_[0].clear();
  began_ = now;
}

void RecentPrefixes::add(std::span<const uint64_t> chain, NodeId node, Clock::TimePoint now) {
  if (raw(node) >= kMaxNodes) return;
  age(now);
  for (size_t length = 1; length <= chain.size(); length = next_length(length)) {
    if (generations_[0].size() >= kMaxEntries) begin_generation(now);
    generations_[0][chain[length - 1]] |= NodeMask{1} << raw(node);
  }
}

RecentPrefixes::NodeMask RecentPrefixes::nodes_of(uint64_t hash) const {
  NodeMask nodes = 0;
  for (const Generation& generation : generations_) {
    const auto found = generation.find(hash);
    if (found != generation.end()) nodes |= found->second;
  }
  return nodes;
}

void RecentPrefixes::match(std::span<const uint64_t> chain, std::span<uint32_t> n_blocks,
                           Clock::TimePoint now) {
  age(now);
  NodeMask left = ~NodeMask{0};
  for (size_t length = 1; length <= chain.size(); length = next_length(length)) {
    left &= nodes_of(chain[length - 1]);
    if (left == 0) return;
    for (NodeMask rest = left; rest != 0; rest &= rest - 1) {
      const auto node = static_cast<size_t>(std::countr_zero(rest));
      if (node < n_blocks.size())
        n_blocks[node] = std::max(n_blocks[node], static_cast<uint32_t>(length));
    }
  }
}

void RecentPrefixes::forget(NodeId node) {
  if (raw(node) >= kMaxNodes) return;
  for (Generation& generation : generations_) {
    for (auto& [hash, nodes] : generation) nodes &= ~(NodeMask{1} << raw(node));
  }
}

}  // namespace lockstep
