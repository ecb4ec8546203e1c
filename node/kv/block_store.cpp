#include "node/kv/block_store.h"

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

DeviceBuffer take(const BlockStoreShape& shape, Device& device, MemoryLedger& ledger) {
  const int64_t bytes = kv_bytes_per_block(shape) * shape.n_blocks;
  try {
    return DeviceBuffer(device, ledger, shape.tag, bytes);
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(str("no memory for ", shape.n_blocks, " KV blocks of ",
                          kv_bytes_per_block(shape), " bytes (", bytes, " in all)"));
  }
}

}  // namespace

int64_t kv_bytes_per_block(const BlockStoreShape& shape) {
  return layer_block_bytes(shape) * shape.n_layers;
}

BlockStore::BlockStore(const BlockStoreShape& shape, Device& device, MemoryLedger& ledger)
    : shape_(shape), block_bytes_(layer_block_bytes(shape)), buffer_(take(shape, device, ledger)) {}

KvPages BlockStore::pages(int layer) const {
  CHECK(layer >= 0 && layer < shape_.n_layers);
  return {.data = buffer_.data() + layer * layer_stride(),
          .dtype = shape_.dtype,
          .n_blocks = shape_.n_blocks,
          .block_bytes = block_bytes_,
          .block_size = shape_.block_size,
          .n_kv_heads = shape_.n_kv_heads,
          .head_dim = shape_.head_dim};
}

std::byte* BlockStore::at(BlockId block) const {
  CHECK(raw(block) >= 0 && raw(block) < shape_.n_blocks);
  return buffer_.data() + raw(block) * block_bytes_;
}

CopyArgs BlockStore::copy_of(BlockId block, std::byte* host) const {
  return {.device = at(block),
          .host = host,
          .row_bytes = block_bytes_,
          .n_rows = shape_.n_layers,
          .device_stride = layer_stride(),
          .host_stride = block_bytes_};
}

void BlockStore::fill_with_nan(BlockId block, Stream& stream) {
  stream.fill({.data = at(block),
               .value = 0xFF,
               .row_bytes = block_bytes_,
               .n_rows = fault(Fault::kClearLayerZero) ? 1 : shape_.n_layers,
               .stride = layer_stride()});
}

}  // namespace lockstep
