// ModelGroups: the nodes that serve each model name, grouped by fingerprint. Nodes with equal
// fingerprints generate equal tokens for equal requests. Pure.
//
// New requests go to the fingerprint with the most ready nodes. Among equals, they go to the
// fingerprint whose first node joined first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/cluster/node.h"

namespace lockstep {

struct FingerprintGroup {
  std::string fingerprint;
  int64_t n_nodes = 0;        // nodes that are ready, stalled, suspect or draining
  int64_t n_ready = 0;        // number of those nodes that are preferred for new requests
  int64_t n_taking_work = 0;  // number of those nodes that are not draining
  uint64_t first_joined = 0;  // the smallest Node::joined
  wire::ModelInfo info;       // from the node with the largest max_model_len
  int64_t block_size = 0;     // tokens per KV block, of the first node
  // The nodes' wire::Welcome::text_fingerprint; empty if they do not all have the same.
  std::string text_fingerprint;
  int64_t n_slots = 0;  // sequences that can run at once, summed over the nodes
  // Requests that may wait, summed over the nodes; absent if a node does not report the number.
  std::optional<int64_t> n_queued = 0;
};

struct ModelGroup {
  std::string model;
  std::vector<FingerprintGroup> fingerprints;  // at least one; the first one gets new requests

  const FingerprintGroup& serving() const { return fingerprints.front(); }
};

// In the order of the nodes, then of the models that each node serves.
using ModelGroups = std::vector<ModelGroup>;

ModelGroups group_by_fingerprint(const NodeList& nodes);
// nullptr when no node serves `model`.
const ModelGroup* find_group(const ModelGroups& groups, const std::string& model);
// nullptr when no node with this fingerprint serves `model`.
const FingerprintGroup* find_group(const ModelGroups& groups, const std::string& model,
                                   const std::string& fingerprint);
// Whether a node with this fingerprint serves `model`.
bool is_served(const ModelGroups& groups, const std::string& model, const std::string& fingerprint);

}  // namespace lockstep
