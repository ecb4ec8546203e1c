// KvSanitizer: finds the KV blocks whose content must not be read: blocks that were freed, and
// blocks that were allocated again and are not written yet. With --sanitize-kv the ranks fill these
// blocks with NaN before the next step, so that a read of one shows in the logits. Engine thread
// only.
#pragma once

#include <cstdint>
#include <vector>

#include "common/ids.h"
#include "node/kv/pool/block_pool.h"

namespace lockstep {

class KvSanitizer {
 public:
  // The blocks of `pool` that became stale since the last call. To be called when a step is
  // committed and not yet submitted. Visits every block. The result is valid until the next call.
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
