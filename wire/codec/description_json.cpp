#include <nlohmann/json.hpp>

#include "wire/codec/codec.h"
#include "wire/codec/json_text.h"

namespace lockstep::wire {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const std::vector<Setting>& settings) {
  ordered_json out = ordered_json::object();
  for (const Setting& setting : settings) out[setting.name] = setting.value;
  return out;
}

ordered_json to_json(const NodeDescription& node) {
  ordered_json ranks = ordered_json::array();
  for (const RankSettings& rank : node.ranks) {
    ranks.push_back({{"rank", rank.rank}, {"settings", to_json(rank.settings)}});
  }
  ordered_json out;
  if (!node.endpoint.empty()) out["endpoint"] = node.endpoint;
  if (!node.state.empty()) out["state"] = node.state;
  out["model"] = node.model;
  out["settings"] = to_json(node.settings);
  out["ranks"] = std::move(ranks);
  return out;
}

}  // namespace

std::string description_json(const Description& description) {
  ordered_json nodes = ordered_json::array();
  for (const NodeDescription& node : description.nodes) nodes.push_back(to_json(node));
  const ordered_json out = {{"nodes", std::move(nodes)}};
  return json_text(out) + "\n";
}

}  // namespace lockstep::wire
