// FingerprintWatch: notices that nodes under one model name would answer differently, and says so
// once for each change. Pure bookkeeping; I/O thread only.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "coordinator/cluster/model_groups.h"

namespace lockstep {

class FingerprintWatch {
 public:
  // Lines for the log: one for each model whose fingerprints are others than at the last look, if
  // there are or were several. Counts of nodes do not matter.
  std::vector<std::string> look(const ModelGroups& groups);
  // How many each model has that was ever seen; 0 if no node serves it now.
  std::map<std::string, size_t> counts() const;

 private:
  std::map<std::string, std::set<std::string>> seen_;  // by model
};

}  // namespace lockstep
