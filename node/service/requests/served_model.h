// ServedModel: the service's view of one loaded model, so that tests can substitute the model. The
// code that constructs it keeps its parts alive. Immutable; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "node/engine/core/engine.h"
#include "node/kv/report/block_event_log.h"
#include "node/model/model_config.h"
#include "node/text/prompt/text_model.h"
#include "wire/messages.h"

namespace lockstep {

struct ServedModel {
  Engine& engine;
  const TextModel& text;
  std::string name;                         // as requests give it
  std::string fingerprint;                  // RankGroup::numerics_fingerprint
  std::string backend;                      // RankGroup::backend_name()
  uint64_t created = 0;                     // seconds since 1970
  uint64_t epoch = 0;                       // differs after every restart of the node
  SamplingDefaults sampling_defaults = {};  // of requests that leave them out
  wire::NodeDescription description = {};   // the settings in effect
  BlockEventLog* block_events = nullptr;    // the engine's, if they are to be published
  // What coordinators need to encode prompts as `text` does (write_text_data), and its fingerprint;
  // both empty if it is not published.
  std::string text_data = {}, text_fingerprint = {};

  const Tokenizer& tokenizer() const { return text.tokenizer(); }
};

}  // namespace lockstep
