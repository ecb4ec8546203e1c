// FingerprintWatch: detects nodes with different fingerprints under one model name, whose answers
// may differ, and produces one log line per change. Pure bookkeeping; I/O thread only.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "coordinator/cluster/model_groups.h"

namespace lockstep {

class FingerprintWatch {
 public:
  // Returns one log line for each model whose set of fingerprints has changed since the last call,
  // if the set has or had several members. The number of nodes per fingerprint does not matter.
  std::vector<std::string> look(const ModelGroups& groups);
  // Number of fingerprints of each model that was ever served; 0 if no node serves the model now.
  std::map<std::string, size_t> counts() const;

 private:
  std::map<std::string, std::set<std::string>> seen_;  // by model
};

}  // namespace lockstep
