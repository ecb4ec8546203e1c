// Reads and writes one slot of the paged KV cache value by value, in the layout of kv_layout.h. A
// slot is the place of one token: block id * block_size + offset (vLLM's slot_mapping holds these).
// Stateless; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"

namespace lockstep::reference {

// Rounds K and V of one head, [head_dim] each, to the KV dtype and writes them to `slot`.
void store_slot(const KvPages& kv, int64_t slot, int head, const float* k, const float* v);

// One head at `slot` of a whole-number dtype.
struct WholeSlot {
  std::vector<float> k_scales;  // [ceil(head_dim / 32)]
  std::vector<int16_t> k;       // [head_dim]
  float v_scale = 0.0f;
  std::vector<int16_t> v;  // [head_dim]
};
WholeSlot load_whole_slot(const KvPages& kv, int64_t slot, int head);

// K and V of one head at `slot`, [head_dim] each, widened to f32.
void load_slot(const KvPages& kv, int64_t slot, int head, float* k, float* v);

}  // namespace lockstep::reference
