#include "coordinator/cluster/fingerprint_watch.h"

#include <utility>

#include "common/log.h"

namespace lockstep {
namespace {

std::string describe(const ModelGroup& group) {
  const size_t n = group.fingerprints.size();
  if (n == 1)
    return str("model '", group.model, "': all nodes have one fingerprint again, ",
               group.serving().fingerprint);
  std::string line =
      str("model '", group.model, "' is served with ", n, " fingerprints, whose answers differ:");
  for (const FingerprintGroup& member : group.fingerprints)
    line += str(" ", member.fingerprint, " (", member.n_nodes,
                member.n_nodes == 1 ? " node)" : " nodes)");
  return line + "; new requests go to " + group.serving().fingerprint;
}

}  // namespace

std::vector<std::string> FingerprintWatch::look(const ModelGroups& groups) {
  std::map<std::string, std::set<std::string>> present;
  for (const auto& [model, fingerprints] : seen_) present[model];
  for (const ModelGroup& group : groups) {
    for (const FingerprintGroup& member : group.fingerprints)
      present[group.model].insert(member.fingerprint);
  }
  std::vector<std::string> lines;
  for (const ModelGroup& group : groups) {
    const auto& now = present[group.model];
    const auto& before = seen_[group.model];
    if (now != before && (now.size() > 1 || before.size() > 1)) lines.push_back(describe(group));
  }
  seen_ = std::move(present);
  return lines;
}

std::map<std::string, size_t> FingerprintWatch::counts() const {
  std::map<std::string, size_t> out;
  for (const auto& [model, fingerprints] : seen_) out[model] = fingerprints.size();
  return out;
}

}  // namespace lockstep
