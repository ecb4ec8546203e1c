// What one rank has in effect, by the names of the settings. Ranks that differ must not compute
// together: their tokens would depend on which rank computed what.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace lockstep {

struct RankGroupConfig;

struct RankSetting {
  std::string name;
  std::string value;
  friend bool operator==(const RankSetting&, const RankSetting&) = default;
};
using RankSettings = std::vector<RankSetting>;

RankSettings rank_settings(const RankGroupConfig& config);

// Throws LoadError, "config_mismatch: …", naming the first setting that is not rank 0's, where
// ("on rank 1", "in the engine") and both values.
void check_equal_settings(const RankSettings& settings, const std::string& where,
                          const RankSettings& rank_0);
// Likewise, [n_ranks].
void check_equal_settings(std::span<const RankSettings> ranks);

}  // namespace lockstep
