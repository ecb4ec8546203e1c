#include "node/service/app/node_engine.h"

#include <utility>

#include "common/load_error.h"
#include "common/log.h"
#include "node/service/requests/sampling_defaults.h"
#include "node/text/prompt/text_data.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

// Throws LoadError (config_mismatch) if the engine's settings do not match those of the ranks.
void check_engine_settings(const EngineConfig& engine, const RankGroupConfig& config,
                           const RankGroup& ranks) {
  RankGroupConfig planned_for = config;
  planned_for.limits = engine.limits;
  planned_for.n_kv_blocks = engine.n_kv_blocks;
  planned_for.kv_cache = engine.kv_cache;
  check_equal_settings(rank_settings(planned_for), "in the engine", ranks.settings().front());
}

// A message has other fields beside the data.
constexpr size_t kMaxTextDataBytes = wire::kMaxMessageBytes - 4096;

std::string text_data_to_publish(const TokenizerData& tokenizer, bool control_tokens_in_content) {
  std::string data = write_text_data({tokenizer, control_tokens_in_content});
  if (data.size() <= kMaxTextDataBytes) return data;
  log(LogLevel::kWarning,
      str("tokenizer and chat template take ", data.size(), " bytes, more than the ",
          kMaxTextDataBytes, " of a message, so coordinators cannot tokenise for this node"));
  return "";
}

}  // namespace

NodeEngine::NodeEngine(const NodeConfig& config, EngineSink& sink)
    : NodeEngine(config, check_model(config), sink) {}

// The model file is closed on return.
NodeEngine::NodeEngine(const NodeConfig& config, CheckedModel checked, EngineSink& sink)
    : name_(served_name(config)),
      text_(std::move(checked.tokenizer), std::move(checked.chat_template),
            config.allow_control_tokens_in_content),
      text_data_(
          text_data_to_publish(checked.file->tokenizer(), text_.control_tokens_in_content())),
      sampling_defaults_(std::move(checked.sampling_defaults)),
      ranks_config_(std::move(checked.ranks)) {
  EngineConfig engine_config = std::move(checked.engine);
  ranks_ = std::make_unique<RankGroup>(*checked.file, ranks_config_, ledger_);
  check_engine_settings(engine_config, ranks_config_, *ranks_);
  if (!config.events.empty()) block_events_ = std::make_unique<BlockEventLog>();
  engine_config.block_events = block_events_.get();
  engine_ = std::make_unique<Engine>(engine_config, *ranks_, tokenizer(), clock_, sink);
  if (!ranks_config_.why_cpu.empty()) {
    log(LogLevel::kInfo, "device is auto, and the model runs on the CPU: " + ranks_config_.why_cpu);
  }
  log(LogLevel::kInfo,
      str("model ready name=", name_, " backend=", ranks_->backend_name(),
          " max_model_len=", max_model_len(), " kv_blocks=", ranks_config_.n_kv_blocks,
          " block_size=", ranks_config_.limits.block_size));
}

std::string NodeEngine::fingerprint() const {
  const EngineConfig& config = engine_->config();
  std::string text = ranks_->numerics_fingerprint();
  if (text_.control_tokens_in_content()) text += "-content-control-tokens";
  if (config.context_shift) text += str("-", config.limits.max_model_len, "-", config.n_keep);
  return text + fingerprint_part(sampling_defaults_);
}

}  // namespace lockstep
