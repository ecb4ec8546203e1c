// PromptEncoder: turns the prompts of new generations into PreparedPrompts. It gives exactly the
// ids that a node would give (TextModel), or none: the request then goes to a node as it came, and
// the node answers with its own error. Long prompts are encoded by a TextWorker. I/O thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/memory/byte_budget.h"
#include "coordinator/cluster/node_table.h"
#include "coordinator/prompts/client_prompt.h"
#include "coordinator/prompts/prepared_prompt.h"
#include "coordinator/prompts/text_models.h"
#include "node/text/prompt/text_model.h"
#include "node/text/prompt/text_worker.h"

namespace lockstep {

// What became of a prompt. All but the first two were sent as they came.
enum class PromptOutcome : uint8_t {
  kEncoded,   // text was tokenised
  kIds,       // the client sent ids
  kNoModel,   // the nodes publish no text model, do not agree, or it has not come yet
  kBusy,      // the worker has no room
  kRefused,   // the node will refuse the text: too long, or the template raises
  kTooLarge,  // the ids do not fit the message, or the budget of bytes
};

inline constexpr const char* kPromptOutcomes[] = {"encoded",   "ids",          "text_no_model",
                                                  "text_busy", "text_refused", "text_too_large"};
inline const char* to_string(PromptOutcome outcome) {
  return kPromptOutcomes[static_cast<size_t>(outcome)];
}

// One prompt on its way. While an encoder has it, other code may only read `prompt` and must not
// use anything else.
struct PromptJob {
  ClientPrompt prompt = {};
  bool add_special_tokens = true;
  bool cache_prompt = true;
  std::string cache_salt = {};
  std::string tenant = {};
  ByteHold bytes = {};  // the request's, while an encoder has the prompt
  // Set by the encoder.
  std::shared_ptr<const TextModel> model = nullptr;
  TextLimit limit = {};
  int64_t block_size = 0;
  PromptOutcome outcome = PromptOutcome::kNoModel;
  std::optional<PreparedPrompt> result = std::nullopt;
  std::optional<std::chrono::steady_clock::duration> tokenized_in = std::nullopt;
};

// Prepares a prompt of ids, for nodes with this block_size. Any thread.
void prepare_ids(PromptJob& job, int64_t block_size);

class PromptEncoder {
 public:
  // Tenants share the worker's places in groups, by the hash of their names.
  static constexpr size_t kTenantGroups = 4;

  // Both must outlive this object. The worker has kTenantGroups tenants.
  PromptEncoder(const TextModels& models, TextWorker& worker) : models_(models), worker_(worker) {}

  // Encodes the prompt for the nodes of the group. Returns true when the job is done; otherwise
  // `done` runs later, unless the worker is stopped before.
  bool encode(const std::shared_ptr<PromptJob>& job, const FingerprintGroup& group,
              std::function<void()> done);

 private:
  const TextModels& models_;
  TextWorker& worker_;
};

}  // namespace lockstep
