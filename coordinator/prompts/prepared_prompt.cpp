#include "coordinator/prompts/prepared_prompt.h"

#include <limits>
#include <utility>

#include "common/prefix_hash.h"

namespace lockstep {

PreparedPrompt prepare_prompt(const wire::Generate& request, std::vector<int32_t> ids,
                              int64_t block_size) {
  PreparedPrompt prompt{.ids = std::move(ids), .block_hashes = {}, .block_size = 0};
  if (block_size <= 0 || block_size > std::numeric_limits<int32_t>::max()) return prompt;
  prompt.block_size = static_cast<int32_t>(block_size);
  if (request.cache_prompt)
    prompt.block_hashes =
        block_hashes(prefix_hash(request.cache_salt), prompt.ids, prompt.block_size);
  return prompt;
}

}  // namespace lockstep
