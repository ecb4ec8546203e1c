// CheckedModel: a model file, and the settings to serve it with, checked in everything that can be
// wrong without reading the weights. `--check` ends here and a start goes on from here: there is
// one list of checks, so that the two cannot disagree.
#pragma once

#include <memory>
#include <optional>

#include "common/result.h"
#include "node/engine/core/engine.h"
#include "node/model/model_file.h"
#include "node/model/rank/rank_group.h"
#include "node/service/config/node_config.h"
#include "node/text/jinja/chat_template.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

struct CheckedModel {
  std::unique_ptr<ModelFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  // Why there is none, as an answer to those who want to chat: the model has none, or one that the
  // interpreter does not know. The model serves plain prompts all the same.
  Result<ChatTemplate> chat_template;
  SamplingDefaults sampling_defaults;
  RankGroupConfig ranks;
  EngineConfig engine;
};

// Throws LoadError naming what is wrong, in one line; warns of a chat template that is unusable.
CheckedModel check_model(const NodeConfig& config);

// The template of the model called `name`.
Result<ChatTemplate> usable_chat_template(const Tokenizer& tokenizer, const std::string& name);

}  // namespace lockstep
