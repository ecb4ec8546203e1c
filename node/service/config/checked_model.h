// CheckedModel: a model file and the settings to serve it with, after every check that does not
// need the weights. `--check` ends here and a start continues from here, so that the two cannot
// disagree. Used at start, on the thread of main().
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
  // The Error is the answer to chat requests: the model has no template, or one that the
  // interpreter does not support. The model then still serves plain prompts.
  Result<ChatTemplate> chat_template;
  SamplingDefaults sampling_defaults;
  RankGroupConfig ranks;
  EngineConfig engine;
};

// Throws LoadError, whose one line names the fault. Warns of an unusable chat template.
CheckedModel check_model(const NodeConfig& config);

// Returns the template of the model called `name`.
Result<ChatTemplate> usable_chat_template(const Tokenizer& tokenizer, const std::string& name);

}  // namespace lockstep
