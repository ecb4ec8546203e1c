// RecentPrefixes: the prompts that were sent to each node a while ago, whose blocks the node will
// have before it could begin with another request. They stand in for the node's KV events until
// these come, or if it publishes none. A prompt is kept for `lifetime` to twice that. Of a prompt,
// the first 16 blocks, each fourth up to 128 and each 16th behind them are kept, so that a long
// prompt costs little. Nodes beyond the first 64 are ignored. I/O thread only.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "common/clock.h"
#include "common/ids.h"

namespace lockstep {

class RecentPrefixes {
 public:
  static constexpr size_t kMaxEntries = size_t{1} << 17;  // of each of the two generations

  explicit RecentPrefixes(std::chrono::milliseconds lifetime = std::chrono::milliseconds{1000})
      : lifetime_(lifetime) {}

  void add(std::span<const uint64_t> chain, NodeId node, Clock::TimePoint now);
  // As CachedPrefixes::match(); a number may be too small by less than 4 up to 128
  // blocks, and by less than 16 behind them.
  void match(std::span<const uint64_t> chain, std::span<uint32_t> n_blocks, Clock::TimePoint now);
  // Forgets what was sent to the node.
  void forget(NodeId node);

  size_t n_entries() const { return generations_[0].size() + generations_[1].size(); }

 private:
  using NodeMask = uint64_t;
  using Generation = std::unordered_map<uint64_t, NodeMask>;
  static constexpr uint32_t kMaxNodes = 64;

  void age(Clock::TimePoint now);
  void begin_generation(Clock::TimePoint now);
  NodeMask nodes_of(uint64_t hash) const;

  const std::chrono::milliseconds lifetime_;
  std::array<Generation, 2> generations_;  // the present one, the one before
  Clock::TimePoint began_;                 // the present one
};

}  // namespace lockstep
