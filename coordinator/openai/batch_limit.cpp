#include "coordinator/openai/batch_limit.h"

#include "common/log.h"

namespace lockstep {

Status check_batch(size_t n_prompts, const std::string& model, const ClusterView& view) {
  const ModelGroup* group = find_group(*view.groups, model);
  if (group == nullptr || !group->serving().n_queued) return Ok{};
  const int64_t n_slots = group->serving().n_slots;
  const int64_t n_queued = *group->serving().n_queued;
  if (n_prompts <= static_cast<size_t>(n_slots + n_queued)) return Ok{};
  return Error{ErrorCode::kInvalidRequest,
               str("prompt holds ", n_prompts, " prompts, the nodes that serve '", model,
                   "' hold at most ", n_slots + n_queued, " requests at once (", n_slots,
                   " that run and ", n_queued, " that wait): send fewer in one request"),
               "prompt"};
}

}  // namespace lockstep
