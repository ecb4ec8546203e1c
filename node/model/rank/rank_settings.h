// RankSettings: the settings in effect on one rank, by name. Ranks whose settings differ must not
// compute together, because tokens would then depend on which rank computed what. Plain data.
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

// Throws LoadError, "config_mismatch: …", if a setting differs from rank 0's. The message names the
// first such setting, `where` ("on rank 1", "in the engine") and both values.
void check_equal_settings(const RankSettings& settings, const std::string& where,
                          const RankSettings& rank_0);
// Compares every rank of `ranks`, [n_ranks], with rank 0.
void check_equal_settings(std::span<const RankSettings> ranks);

}  // namespace lockstep
