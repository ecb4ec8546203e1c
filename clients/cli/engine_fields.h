// EngineFields: the part of a node's settings that a command offers when it runs a model in its own
// process.
#pragma once

#include "node/service/config/node_config.h"

namespace lockstep {

struct EngineFields {
  NodeConfig& node;
  template <class V>
  void visit_fields(V& v) {
    node.visit_engine_fields(v);
  }
};

}  // namespace lockstep
