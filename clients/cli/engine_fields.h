// EngineFields: the part of a node's settings that a command shows when it runs a model in process.
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
