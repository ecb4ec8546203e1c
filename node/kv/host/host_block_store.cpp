#include "node/kv/host/host_block_store.h"

#include <array>
#include <cstring>
#include <new>

#include "common/check.h"
#include "common/fault_points.h"
#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {
namespace {

constexpr uint64_t kOdd = 0xbf58476d1ce4e5b9u;
constexpr size_t kSums = 4;  // independent sums, so that a core overlaps the multiplications

// For a fixed state a bijection of the word; for a fixed word a bijection of the state.
uint64_t mix(uint64_t state, uint64_t word) {
  state = (state ^ word) * kOdd;
  return state ^ state >> 29;
}

Buffer take(int32_t n_blocks, int64_t block_bytes, MemoryLedger& ledger) {
  try {
    return Buffer(ledger, MemoryTag::kKvHost, n_blocks * block_bytes);
  } catch (const std::bad_alloc&) {
    throw LoadError(str("no host memory for ", n_blocks, " KV blocks of ", block_bytes, " bytes (",
                        n_blocks * block_bytes, " in all)"));
  }
}

}  // namespace

uint64_t block_checksum(std::span<const std::byte> bytes, uint64_t seed) {
  CHECK_EQ(bytes.size() % sizeof(uint64_t), 0u);
  std::array<uint64_t, kSums> sums = {seed, ~seed, seed + kOdd, ~seed - kOdd};
  const size_t n_words = bytes.size() / sizeof(uint64_t);
  size_t i = 0;
  const auto word = [&](size_t at) {
    uint64_t value;
    std::memcpy(&value, bytes.data() + at * sizeof(value), sizeof(value));
    return value;
  };
  for (; i + kSums <= n_words; i += kSums) {
    for (size_t i_sum = 0; i_sum < kSums; ++i_sum) sums[i_sum] = mix(sums[i_sum], word(i + i_sum));
  }
  for (; i < n_words; ++i) sums[0] = mix(sums[0], word(i));
  uint64_t sum = bytes.size();
  for (uint64_t i_sum : sums) sum = mix(sum, i_sum);
  return sum;
}

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
  checksums_[static_cast<size_t>(raw(to))] = block_checksum(bytes_of(to), tag);
}

bool HostBlockStore::load(HostBlockId from, uint64_t tag, BlockId to) {
  const std::span<std::byte> bytes = bytes_of(from);
  if (fault(Fault::kHostBitFlip)) bytes.front() ^= std::byte{1};
  if (!fault(Fault::kHostNotVerified) &&
      block_checksum(bytes, tag) != checksums_[static_cast<size_t>(raw(from))])
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
