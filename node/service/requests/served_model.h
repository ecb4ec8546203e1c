// ServedModel: the service's view of one loaded model, so that tests can substitute the model. The
// code that constructs it keeps its parts alive. Immutable; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "node/engine/core/engine.h"
#include "node/kv/report/block_event_log.h"
#include "node/model/model_config.h"
#include "node/service/requests/text_length.h"
#include "node/text/jinja/chat_template.h"
#include "node/text/tokenizer/tokenizer.h"
#include "wire/messages.h"

namespace lockstep {

struct ServedModel {
  Engine& engine;
  const Tokenizer& tokenizer;
  // Renders a conversation with the model's template and, if the text is within the limit,
  // tokenises it.
  std::function<Result<std::vector<int32_t>>(const std::vector<ChatMessage>&, const TextLimit&)>
      encode_chat;
  std::string name;                         // as requests give it
  std::string fingerprint;                  // RankGroup::numerics_fingerprint
  std::string backend;                      // RankGroup::backend_name()
  uint64_t created = 0;                     // seconds since 1970
  uint64_t epoch = 0;                       // differs after every restart of the node
  SamplingDefaults sampling_defaults = {};  // of requests that leave them out
  wire::NodeDescription description = {};   // the settings in effect
  BlockEventLog* block_events = nullptr;    // the engine's, if they are to be published
};

}  // namespace lockstep
