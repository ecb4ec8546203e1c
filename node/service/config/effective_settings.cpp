#include "node/service/config/effective_settings.h"

#include "common/log.h"
#include "common/text/utf8.h"
#include "node/model/kv_dtype.h"

namespace lockstep {
namespace {

// A visitor of NodeConfig's fields.
struct SettingLister {
  std::vector<wire::Setting> settings;

  template <class T, class... More>
  void operator()(const T& value, const char* name, const More&...) {
    settings.push_back({name, text(value)});
  }
  void group(const char*) {}
  void unneeded(const char*, const char*) {}

 private:
  static std::string text(bool value) { return value ? "true" : "false"; }
  // A file's path may contain any bytes; the wire carries UTF-8.
  static std::string text(const std::string& value) { return utf8::replace_invalid(value); }
  static std::string text(int64_t value) { return std::to_string(value); }
  static std::string text(double value) { return str(value); }
  static std::string text(const std::vector<TenantSetting>& tenants) {
    std::string out;
    for (const TenantSetting& tenant : tenants) {
      out += str(out.empty() ? "" : ", ", tenant.name, " ", tenant.floor, "..", tenant.ceiling,
                 " x", tenant.weight);
    }
    return out;
  }
};

// Returns the config with the resolved values in place of its defaults.
NodeConfig with_defaults(NodeConfig config, const RankGroupConfig& ranks) {
  config.served_model_name = served_name(config);
  config.num_kv_blocks = ranks.n_kv_blocks;
  config.max_model_len = ranks.limits.max_model_len;
  config.max_num_queued_tokens = queued_tokens(config, ranks.limits);
  config.threads_per_rank = ranks.threads_per_rank;
  config.kv_cache_dtype = kv_dtype_name(ranks.kv_dtype);
  config.device = ranks.devices->kind();
  return config;
}

}  // namespace

wire::NodeDescription describe_node(const NodeConfig& config, const RankGroupConfig& ranks_config,
                                    const std::vector<RankSettings>& ranks) {
  NodeConfig full = with_defaults(config, ranks_config);
  SettingLister lister;
  full.visit_engine_fields(lister);
  wire::NodeDescription out{"", full.served_model_name, std::move(lister.settings), {}};
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    wire::RankSettings& row = out.ranks.emplace_back();
    row.rank = static_cast<int64_t>(rank);
    for (const RankSetting& setting : ranks[rank]) {
      row.settings.push_back({setting.name, setting.value});
    }
  }
  return out;
}

}  // namespace lockstep
