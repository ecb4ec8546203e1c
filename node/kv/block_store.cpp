#include "node/kv/block_store.h"

#include <cstring>
#include <new>

#include "common/check.h"
#include "common/fault_points.h"
#include "common/load_error.h"
#include "common/log.h"
#include "kernels/kv_layout.h"

namespace lockstep {

namespace {

int64_t layer_block_bytes(const BlockStoreShape& shape) {
  return kv_block_bytes(shape.dtype, shape.block_size, shape.n_kv_heads, shape.head_dim);
}

Buffer take(const BlockStoreShape& shape, MemoryLedger& ledger) {
  const int64_t bytes = kv_bytes_per_block(shape) * shape.n_blocks;
  try {
    return Buffer(ledger, shape.tag, bytes);
  } catch (const std::bad_alloc&) {
    throw LoadError(str("no memory for ", shape.n_blocks, " KV blocks of ",
                        kv_bytes_per_block(shape), " bytes (", bytes, " in all)"));
  }
}

}  // namespace

int64_t kv_bytes_per_block(const BlockStoreShape& shape) {
  return layer_block_bytes(shape) * shape.n_layers;
}

BlockStore::BlockStore(const BlockStoreShape& shape, MemoryLedger& ledger)
    : shape_(shape), block_bytes_(layer_block_bytes(shape)), buffer_(take(shape, ledger)) {}

KvPages BlockStore::pages(int layer) const {
  CHECK(layer >= 0 && layer < shape_.n_layers);
  return {.data = buffer_.data() + static_cast<int64_t>(layer) * shape_.n_blocks * block_bytes_,
          .dtype = shape_.dtype,
          .n_blocks = shape_.n_blocks,
          .block_bytes = block_bytes_,
          .block_size = shape_.block_size,
          .n_kv_heads = shape_.n_kv_heads,
          .head_dim = shape_.head_dim};
}

void BlockStore::fill_with_nan(BlockId block) {
  CHECK(raw(block) >= 0 && raw(block) < shape_.n_blocks);
  const int n_layers = fault(Fault::kClearLayerZero) ? 1 : shape_.n_layers;
  for (int layer = 0; layer < n_layers; ++layer) {
    const int64_t idx = static_cast<int64_t>(layer) * shape_.n_blocks + raw(block);
    std::memset(buffer_.data() + idx * block_bytes_, 0xFF, static_cast<size_t>(block_bytes_));
  }
}

}  // namespace lockstep
