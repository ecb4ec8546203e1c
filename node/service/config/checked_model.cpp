#include "node/service/config/checked_model.h"

#include <utility>

#include "common/load_error.h"
#include "common/log.h"
#include "node/engine/queue/admission.h"
#include "node/model/files/open_model_file.h"
#include "node/service/requests/sampling_defaults.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

// A request cannot carry a longer model name.
void check_name(const std::string& name) {
  if (name.size() <= wire::kMaxModelNameBytes) return;
  throw LoadError(
      str("served_model_name: ", name.size(), " bytes, more than ", wire::kMaxModelNameBytes));
}

}  // namespace

Result<ChatTemplate> usable_chat_template(const Tokenizer& tokenizer, const std::string& name) {
  const std::string& source = tokenizer.chat_template();
  if (source.empty()) {
    return Error{ErrorCode::kInvalidRequest,
                 str("the model ", name, " has no chat template; use a plain prompt"), "messages"};
  }
  Result<ChatTemplate> parsed = ChatTemplate::parse(source);
  if (parsed) return parsed;
  const Error unusable{ErrorCode::kInvalidRequest,
                       str("the chat template of the model ", name,
                           " cannot be used: ", parsed.error().message, "; use a plain prompt"),
                       "messages"};
  log(LogLevel::kWarning, unusable.message);
  return unusable;
}

CheckedModel check_model(const NodeConfig& config) {
  const std::string name = served_name(config);
  check_name(name);
  std::unique_ptr<ModelFile> file = open_model_file(config.model);
  std::unique_ptr<Tokenizer> tokenizer = value_or_throw(make_tokenizer(file->tokenizer()));
  SamplingDefaults sampling = resolve_sampling_defaults(config.generation_config, *file);
  RankGroupConfig ranks = resolve_rank_config(config, *file);
  ranks.limits.max_banned = max_banned_ids(ranks.limits.max_seqs, *tokenizer);
  EngineConfig engine = resolve_engine_config(config, ranks);
  Result<ChatTemplate> chat_template = usable_chat_template(*tokenizer, name);
  return {std::move(file),     std::move(tokenizer), std::move(chat_template),
          std::move(sampling), std::move(ranks),     std::move(engine)};
}

}  // namespace lockstep
