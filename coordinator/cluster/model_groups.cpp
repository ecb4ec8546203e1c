#include "coordinator/cluster/model_groups.h"

#include <algorithm>
#include <tuple>

namespace lockstep {
namespace {

template <class Groups, class Match>
auto& find_or_add(Groups& groups, Match matches) {
  const auto found = std::find_if(groups.begin(), groups.end(), matches);
  return found == groups.end() ? groups.emplace_back() : *found;
}

void add_node(FingerprintGroup& group, const Node& node, const wire::ModelInfo& info) {
  const bool is_first = group.n_nodes++ == 0;
  group.n_ready += node.is_ready() ? 1 : 0;
  group.n_taking_work += node.takes_work() ? 1 : 0;
  group.first_joined = is_first ? node.joined : std::min(group.first_joined, node.joined);
  if (is_first) {
    group.block_size = node.welcome->block_size;
    group.text_fingerprint = node.welcome->text_fingerprint;
  } else if (group.text_fingerprint != node.welcome->text_fingerprint) {
    group.text_fingerprint.clear();
  }
  group.n_slots += node.welcome->max_num_seqs;
  if (!node.welcome->max_num_queued_reqs)
    group.n_queued.reset();
  else if (group.n_queued)
    *group.n_queued += *node.welcome->max_num_queued_reqs;
  if (is_first || info.max_model_len > group.info.max_model_len) group.info = info;
}

bool comes_before(const FingerprintGroup& a, const FingerprintGroup& b) {
  return std::tuple(-a.n_ready, -a.n_taking_work, a.first_joined) <
         std::tuple(-b.n_ready, -b.n_taking_work, b.first_joined);
}

}  // namespace

ModelGroups group_by_fingerprint(const NodeList& nodes) {
  ModelGroups groups;
  for (const auto& node : nodes) {
    if (!node->is_present()) continue;
    const std::string& fingerprint = node->welcome->fingerprint;
    for (const wire::ModelInfo& info : node->welcome->models) {
      ModelGroup& model =
          find_or_add(groups, [&](const ModelGroup& group) { return group.model == info.id; });
      model.model = info.id;
      FingerprintGroup& group = find_or_add(
          model.fingerprints,
          [&](const FingerprintGroup& candidate) { return candidate.fingerprint == fingerprint; });
      group.fingerprint = fingerprint;
      add_node(group, *node, info);
    }
  }
  for (ModelGroup& model : groups)
    std::sort(model.fingerprints.begin(), model.fingerprints.end(), comes_before);
  return groups;
}

const ModelGroup* find_group(const ModelGroups& groups, const std::string& model) {
  const auto found = std::find_if(groups.begin(), groups.end(),
                                  [&](const ModelGroup& group) { return group.model == model; });
  return found == groups.end() ? nullptr : &*found;
}

const FingerprintGroup* find_group(const ModelGroups& groups, const std::string& model,
                                   const std::string& fingerprint) {
  const ModelGroup* group = find_group(groups, model);
  if (group == nullptr) return nullptr;
  const auto& all = group->fingerprints;
  const auto found = std::find_if(all.begin(), all.end(), [&](const FingerprintGroup& candidate) {
    return candidate.fingerprint == fingerprint;
  });
  return found == all.end() ? nullptr : &*found;
}

bool is_served(const ModelGroups& groups, const std::string& model,
               const std::string& fingerprint) {
  return find_group(groups, model, fingerprint) != nullptr;
}

}  // namespace lockstep
