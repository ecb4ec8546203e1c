// The effective settings of a node for `describe`: every field of NodeConfig's engine part with its
// defaults filled in, and the settings that each rank reports. Pure.
#pragma once

#include <string>
#include <vector>

#include "node/model/rank/rank_settings.h"
#include "node/service/config/node_config.h"
#include "wire/messages.h"

namespace lockstep {

wire::NodeDescription describe_node(const NodeConfig& config, const RankGroupConfig& ranks_config,
                                    const std::vector<RankSettings>& ranks);

}  // namespace lockstep
