// NodeEngine: a node without its sockets: model, ranks, tokenizer, chat template and engine, built
// from the settings in the right order. The node's service uses it, and so does the `lockstep`
// command when it runs a model in process. The owner's thread constructs and destroys it; its const
// functions: any thread.
#pragma once

#include <memory>
#include <string>

#include "common/clock.h"
#include "common/memory/ledger.h"
#include "node/engine/core/engine.h"
#include "node/kv/report/block_event_log.h"
#include "node/model/rank/rank_group.h"
#include "node/service/config/checked_model.h"
#include "node/service/config/node_config.h"
#include "node/text/prompt/text_model.h"

namespace lockstep {

class NodeEngine {
 public:
  // Loads the model; throws LoadError. The sink must outlive this object.
  NodeEngine(const NodeConfig& config, EngineSink& sink);

  Engine& engine() { return *engine_; }
  const TextModel& text() const { return text_; }
  const Tokenizer& tokenizer() const { return text_.tokenizer(); }
  // What coordinators need to encode prompts as text() does (write_text_data); empty if it is too
  // large for a message.
  const std::string& text_data() const { return text_data_; }

  const std::string& name() const { return name_; }
  int64_t max_model_len() const { return ranks_config_.limits.max_model_len; }
  const RankGroupConfig& ranks_config() const { return ranks_config_; }
  const RankGroup& ranks() const { return *ranks_; }
  // The values of parameters that a request leaves out.
  const SamplingDefaults& sampling_defaults() const { return sampling_defaults_; }
  // Covers the ranks' numerics, the handling of control tokens in messages, the cut of contexts if
  // it is on, and the sampling defaults. Nodes with equal fingerprints give equal tokens.
  std::string fingerprint() const;
  const MemoryLedger& ledger() const { return ledger_; }
  // Null unless the settings ask for events.
  BlockEventLog* block_events() { return block_events_.get(); }

 private:
  NodeEngine(const NodeConfig& config, CheckedModel checked, EngineSink& sink);

  // constant after construction, in order of construction
  const std::string name_;
  SteadyClock clock_;
  MemoryLedger ledger_;
  const TextModel text_;
  const std::string text_data_;
  const SamplingDefaults sampling_defaults_;
  RankGroupConfig ranks_config_;
  std::unique_ptr<RankGroup> ranks_;
  std::unique_ptr<BlockEventLog> block_events_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace lockstep
