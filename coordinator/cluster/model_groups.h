// ModelGroups: which nodes give the same answers. The nodes that serve one model name are grouped
// by fingerprint; equal fingerprints mean equal tokens. Pure.
//
// New requests go to the fingerprint with the most ready nodes; among equals to the one whose
// first node came first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/cluster/node.h"

namespace lockstep {

struct FingerprintGroup {
  std::string fingerprint;
  int64_t n_nodes = 0;                  // ready, stalled, suspect or draining
  int64_t n_ready = 0;                  // of those, preferred for new requests
  int64_t n_taking_work = 0;            // of those, not draining
  uint64_t first_joined = 0;            // the smallest Node::joined
  wire::ModelInfo info;                 // of the node with the largest max_model_len
  int64_t n_slots = 0;                  // sequences that run at once, over all its nodes
  std::optional<int64_t> n_queued = 0;  // requests that may wait; absent if a node does not say
};

struct ModelGroup {
  std::string model;
  std::vector<FingerprintGroup> fingerprints;  // at least one; the first one gets new requests

  const FingerprintGroup& serving() const { return fingerprints.front(); }
};

// In the order of the nodes and of the models that each serves.
using ModelGroups = std::vector<ModelGroup>;

ModelGroups group_by_fingerprint(const NodeList& nodes);
// nullptr when no node serves `model`.
const ModelGroup* find_group(const ModelGroups& groups, const std::string& model);

}  // namespace lockstep
