#include "node/service/app/node_engine.h"

#include <utility>

#include "common/load_error.h"
#include "common/log.h"
#include "node/service/requests/sampling_defaults.h"

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

}  // namespace

NodeEngine::NodeEngine(const NodeConfig& config, EngineSink& sink)
    : NodeEngine(config, check_model(config), sink) {}

// The model file is closed on return.
NodeEngine::NodeEngine(const NodeConfig& config, CheckedModel checked, EngineSink& sink)
    : name_(served_name(config)),
      control_tokens_in_content_(config.allow_control_tokens_in_content),
      tokenizer_(std::move(checked.tokenizer)),
      template_(std::move(checked.chat_template)),
      sampling_defaults_(std::move(checked.sampling_defaults)),
      ranks_config_(std::move(checked.ranks)) {
  EngineConfig engine_config = std::move(checked.engine);
  ranks_ = std::make_unique<RankGroup>(*checked.file, ranks_config_, ledger_);
  check_engine_settings(engine_config, ranks_config_, *ranks_);
  if (!config.events.empty()) block_events_ = std::make_unique<BlockEventLog>();
  engine_config.block_events = block_events_.get();
  engine_ = std::make_unique<Engine>(engine_config, *ranks_, *tokenizer_, clock_, sink);
  if (!ranks_config_.why_cpu.empty()) {
    log(LogLevel::kInfo, "device is auto, and the model runs on the CPU: " + ranks_config_.why_cpu);
  }
  log(LogLevel::kInfo,
      str("model ready name=", name_, " backend=", ranks_->backend_name(),
          " max_model_len=", max_model_len(), " kv_blocks=", ranks_config_.n_kv_blocks,
          " block_size=", ranks_config_.limits.block_size));
}

Result<std::vector<int32_t>> NodeEngine::encode_chat(const std::vector<ChatMessage>& messages,
                                                     const TextLimit& limit) const {
  if (!template_) return template_.error();
  ChatTemplateInput input;
  input.messages = messages;
  const auto token_text = [&](int32_t id) {
    return id < 0 ? std::string() : std::string(tokenizer_->token_bytes(id, true));
  };
  input.bos_token = token_text(tokenizer_->bos_id());
  input.eos_token = token_text(tokenizer_->eos_id());
  TRY(const MarkedText text, template_->render(input));
  TRY([[maybe_unused]] const Ok fits,
      check_text_length(text.bytes(), *tokenizer_, limit, "messages"));
  // The template's text already contains the special tokens, the leading one included.
  if (control_tokens_in_content_) return tokenizer_->encode(text.bytes(), true, false);
  return tokenizer_->encode_chat(text);
}

std::string NodeEngine::fingerprint() const {
  const EngineConfig& config = engine_->config();
  std::string text = ranks_->numerics_fingerprint();
  if (control_tokens_in_content_) text += "-content-control-tokens";
  if (config.context_shift) text += str("-", config.limits.max_model_len, "-", config.n_keep);
  return text + fingerprint_part(sampling_defaults_);
}

}  // namespace lockstep
