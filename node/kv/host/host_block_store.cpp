#include "node/kv/host/host_block_store.h"

#include <cstring>
#include <new>

#include "common/check.h"
#include "common/fault_points.h"
#include "common/hash64.h"
#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {
namespace {

Buffer take(int32_t n_blocks, int64_t block_bytes, MemoryLedger& ledger) {
  try {
    return Buffer(ledger, MemoryTag::kKvHost, n_blocks * block_bytes);
  } catch (const std::bad_alloc&) {
    throw LoadError(str("no host memory for ", n_blocks, " KV blocks of ", block_bytes, " bytes (",
                        n_blocks * block_bytes, " in all)"));
  }
}

}  // namespace

HostBlockStore::HostBlockStore(int32_t n_blocks, BlockStore& device, MemoryLedger& ledger)
    : device_(device),
      block_bytes_(kv_bytes_per_block(device.shape())),
      n_blocks_(n_blocks),
      buffer_(take(n_blocks, block_bytes_, ledger)),
      checksums_(static_cast<size_t>(n_blocks)) {}

std::span<std::byte> HostBlockStore::bytes_of(HostBlockId block) {
  CHECK(raw(block) >= 0 && raw(block) < n_blocks_);
  return {buffer_.data() + raw(block) * block_bytes_, static_cast<size_t>(block_bytes_)};
}

void HostBlockStore::store(BlockId from, HostBlockId to, uint64_t tag) {
  std::byte* at = bytes_of(to).data();
  for (int layer = 0; layer < device_.shape().n_layers; ++layer) {
    const std::span<const std::byte> part = device_.bytes_of(from, layer);
    std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  checksums_[static_cast<size_t>(raw(to))] = hash64(bytes_of(to), tag);
}

bool HostBlockStore::load(HostBlockId from, uint64_t tag, BlockId to) {
  const std::span<std::byte> bytes = bytes_of(from);
  if (fault(Fault::kHostBitFlip)) bytes.front() ^= std::byte{1};
  if (!fault(Fault::kHostNotVerified) &&
      hash64(bytes, tag) != checksums_[static_cast<size_t>(raw(from))])
    return false;
  const std::byte* at = bytes.data();
  for (int layer = 0; layer < device_.shape().n_layers; ++layer) {
    const std::span<std::byte> part = device_.bytes_of(to, layer);
    std::memcpy(part.data(), at, part.size());
    at += part.size();
  }
  return true;
}

}  // namespace lockstep
