#include "node/kv/host/host_block_store.h"

#include <algorithm>
#include <new>

#include "common/check.h"
#include "common/fault_points.h"
#include "common/hash64.h"
#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {
namespace {

HostBuffer take(int32_t n_blocks, int64_t block_bytes, Device& device, MemoryLedger& ledger) {
  try {
    return HostBuffer(device, ledger, MemoryTag::kKvHost, n_blocks * block_bytes);
  } catch (const std::bad_alloc&) {
    throw LoadError(str("no host memory for ", n_blocks, " KV blocks of ", block_bytes, " bytes (",
                        n_blocks * block_bytes, " in all)"));
  }
}

}  // namespace

HostBlockStore::HostBlockStore(int32_t n_blocks, int32_t max_pending, const BlockStore& kv,
                               Device& device, Stream& stream, MemoryLedger& ledger)
    : kv_(kv),
      stream_(stream),
      block_bytes_(kv_bytes_per_block(kv.shape())),
      n_blocks_(n_blocks),
      buffer_(take(n_blocks, block_bytes_, device, ledger)),
      checksums_(static_cast<size_t>(n_blocks)),
      n_pending_(static_cast<size_t>(n_blocks)) {
  pending_.reserve(static_cast<size_t>(max_pending));
}

std::span<std::byte> HostBlockStore::bytes_of(HostBlockId block) {
  CHECK(raw(block) >= 0 && raw(block) < n_blocks_);
  return {buffer_.data() + raw(block) * block_bytes_, static_cast<size_t>(block_bytes_)};
}

void HostBlockStore::store(BlockId from, HostBlockId to, uint64_t tag) {
  stream_.copy_to_host(kv_.copy_of(from, bytes_of(to).data()));
  pending_.push_back({to, tag});
  ++n_pending_[static_cast<size_t>(raw(to))];
}

void HostBlockStore::finish_stores(uint64_t n) {
  if (n <= n_finished_) return;
  const auto end = pending_.begin() + static_cast<ptrdiff_t>(n - n_finished_);
  for (auto store = pending_.begin(); store != end; ++store) {
    const auto block = static_cast<size_t>(raw(store->block));
    checksums_[block] = hash64(bytes_of(store->block), store->tag);
    --n_pending_[block];
  }
  pending_.erase(pending_.begin(), end);
  n_finished_ = n;
}

bool HostBlockStore::load(HostBlockId from, uint64_t tag, BlockId to) {
  if (is_pending(from)) {
    stream_.wait();
    finish_stores(n_stored());
  }
  const std::span<std::byte> bytes = bytes_of(from);
  if (fault(Fault::kHostBitFlip)) bytes.front() ^= std::byte{1};
  if (!fault(Fault::kHostNotVerified) &&
      hash64(bytes, tag) != checksums_[static_cast<size_t>(raw(from))])
    return false;
  stream_.copy_to_device(kv_.copy_of(to, bytes.data()));
  return true;
}

}  // namespace lockstep
