// KvSanitizer: which KV blocks hold nothing that anybody may read: those that were freed, and those
// that were handed out anew and will be written first. --sanitize-kv has the ranks fill them with
// NaN before the next step, so that a read of them shows in the logits. Engine thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "common/ids.h"
#include "node/kv/pool/block_pool.h"

namespace lockstep {

class KvSanitizer {
 public:
  // The blocks of this pool that became worthless since the last call; to be called when a step has
  // been committed and not yet submitted. Walks every block. Good until the next call.
  const std::vector<BlockId>& find_stale(const BlockPool& pool);

 private:
  struct Seen {
    uint32_t generation = 0;
    bool is_free = false;
  };
  std::vector<Seen> seen_;  // [n_blocks], as of the last call
  std::vector<BlockId> stale_;
};

}  // namespace lockstep
