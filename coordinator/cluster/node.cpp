#include "coordinator/cluster/node.h"

#include <algorithm>

namespace lockstep {

const wire::ModelInfo* Node::find_model(const std::string& model) const {
  const auto& models = welcome->models;
  const auto found = std::find_if(models.begin(), models.end(),
                                  [&](const wire::ModelInfo& info) { return info.id == model; });
  return found == models.end() ? nullptr : &*found;
}

const char* state_name(const Node& node) {
  switch (node.state) {
    case NodeState::kConnecting:
      return "connecting";
    case NodeState::kReady:
      if (node.load.draining) return "draining";
      return node.stalled ? "stalled" : "ready";
    case NodeState::kSuspect:
      return "suspect";
    case NodeState::kDead:
      break;
  }
  return "dead";
}

}  // namespace lockstep
