#include "coordinator/cluster/cluster_view.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

namespace lockstep {
namespace {

struct ModelLoad {
  int64_t n_running = 0, n_waiting = 0, n_blocks_total = 0, n_blocks_active = 0;
  int64_t n_blocks_advertised = 0, block_size = 0;

  double kv_usage() const {
    return n_blocks_total == 0
               ? 0.0
               : static_cast<double>(n_blocks_active) / static_cast<double>(n_blocks_total);
  }
};

// A node serves one model, possibly under several names; only the first name counts, so that no
// load is counted twice.
std::map<std::string, ModelLoad> load_by_model(const ClusterView& view) {
  std::map<std::string, ModelLoad> loads;
  for (const auto& node : view.nodes) {
    if (!node->is_present() || node->welcome->models.empty()) continue;
    ModelLoad& load = loads[node->welcome->models.front().id];
    load.n_running += node->load.n_running;
    load.n_waiting += node->load.n_waiting;
    load.n_blocks_total += node->load.n_blocks_total;
    load.n_blocks_active += node->load.n_blocks_active;
    load.n_blocks_advertised += node->welcome->n_kv_blocks;
    load.block_size = node->welcome->block_size;
  }
  return loads;
}

std::string label_value(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

}  // namespace

bool ClusterView::ready() const {
  const auto takes_work = [](const auto& node) { return node->takes_work(); };
  return !draining && std::any_of(nodes.begin(), nodes.end(), takes_work);
}

std::vector<wire::ModelInfo> ClusterView::models() const {
  std::vector<wire::ModelInfo> out;
  for (const ModelGroup& group : *groups) out.push_back(group.serving().info);
  return out;
}

wire::ClusterStatus cluster_status(const ClusterView& view, std::string request_id) {
  wire::ClusterStatus status;
  status.request_id = std::move(request_id);
  status.n_requests_running = view.n_inflight;
  for (const auto& node : view.nodes) {
    wire::NodeStatus entry;
    entry.endpoint = node->endpoint;
    entry.state = state_name(*node);
    if (!node->welcome->models.empty()) entry.model = node->welcome->models.front().id;
    entry.fingerprint = node->welcome->fingerprint;
    entry.load = node->load;
    status.nodes.push_back(std::move(entry));
  }
  return status;
}

wire::Description cluster_description(const ClusterView& view, std::string request_id) {
  wire::Description out;
  out.request_id = std::move(request_id);
  for (const auto& node : view.nodes) {
    if (!node->is_present() || !node->welcome->description) continue;
    out.nodes.push_back(*node->welcome->description);
    out.nodes.back().endpoint = node->endpoint;
    out.nodes.back().state = state_name(*node);
  }
  return out;
}

std::string gateway_metrics(const ClusterView& view) {
  const std::map<std::string, ModelLoad> loads = load_by_model(view);
  std::ostringstream out;
  const auto gauge = [&](const char* name, const char* help, auto value) {
    out << "# HELP " << name << ' ' << help << "\n# TYPE " << name << " gauge\n";
    for (const auto& [model, load] : loads)
      out << name << "{model_name=\"" << label_value(model) << "\"} " << value(load) << '\n';
  };
  gauge("vllm:num_requests_running", "Sequences being decoded.",
        [](const ModelLoad& load) { return load.n_running; });
  gauge("vllm:num_requests_waiting", "Sequences waiting for a slot or KV blocks.",
        [](const ModelLoad& load) { return load.n_waiting; });
  gauge("vllm:kv_cache_usage_perc", "Share of KV blocks in use; 1 is all.",
        [](const ModelLoad& load) { return load.kv_usage(); });
  out << "# HELP vllm:cache_config_info Block size and number of KV blocks.\n"
         "# TYPE vllm:cache_config_info gauge\n";
  for (const auto& [model, load] : loads)
    out << "vllm:cache_config_info{model_name=\"" << label_value(model) << "\",block_size=\""
        << load.block_size << "\",num_gpu_blocks=\"" << load.n_blocks_advertised << "\"} 1\n";
  return out.str();
}

}  // namespace lockstep
