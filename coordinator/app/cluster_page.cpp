#include "coordinator/app/cluster_page.h"

#include <nlohmann/json.hpp>

#include "wire/codec/json_text.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

ordered_json load_json(const wire::Heartbeat& load) {
  return {{"running", load.n_running},
          {"waiting", load.n_waiting},
          {"blocks",
           {{"total", load.n_blocks_total},
            {"free", load.n_blocks_free},
            {"cached", load.n_blocks_cached},
            {"active", load.n_blocks_active}}}};
}

ordered_json index_json(const NodeKvStatus& status) {
  ordered_json resyncs = ordered_json::object();
  for (size_t i = 0; i < kKvResyncCauses; ++i)
    resyncs[cause_name(static_cast<KvResyncCause>(i))] = status.n_resyncs[i];
  return {{"state", status.state},
          {"blocks", status.n_blocks},
          {"lag_batches", status.n_batches_behind},
          {"dropped_batches", status.n_dropped},
          {"resyncs", std::move(resyncs)}};
}

}  // namespace

std::string cluster_page_json(const ClusterView& view, std::span<const NodeKvStatus> index) {
  ordered_json out = {{"requests_running", view.n_inflight}, {"draining", view.draining}};
  ordered_json& nodes = out["nodes"] = ordered_json::array();
  for (const auto& node : view.nodes) {
    ordered_json models = ordered_json::array();
    for (const wire::ModelInfo& model : node->welcome->models) models.push_back(model.id);
    nodes.push_back({{"endpoint", node->endpoint},
                     {"state", state_name(*node)},
                     {"epoch", node->welcome->epoch},
                     {"fingerprint", node->welcome->fingerprint},
                     {"models", std::move(models)},
                     {"load", load_json(node->load)},
                     {"index", index_json(index[raw(node->id)])}});
  }
  return json_text(out) + "\n";
}

}  // namespace lockstep
