#include "common/memory/buffer.h"

#include <sys/mman.h>

#include <new>
#include <utility>

#include "common/units.h"

namespace lockstep {

std::byte* map_pages(int64_t n_bytes, MemoryTag tag) {
  void* p = ::mmap(nullptr, static_cast<size_t>(n_bytes), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  // Weights are read completely for every token, so large pages avoid a TLB miss every 4 KiB.
  // Memory that is touched only in part gets no large pages, because they would increase resident
  // memory.
  if (tag == MemoryTag::kWeights) ::madvise(p, static_cast<size_t>(n_bytes), MADV_HUGEPAGE);
  return static_cast<std::byte*>(p);
}

void unmap_pages(std::byte* data, int64_t n_bytes) { ::munmap(data, static_cast<size_t>(n_bytes)); }

Buffer::Buffer(MemoryLedger& ledger, MemoryTag tag, int64_t bytes) : bytes_(round_up(bytes, 64)) {
  if (bytes_ == 0) return;
  data_ = map_pages(bytes_, tag);
  reservation_ = Reservation(ledger, tag, bytes_);
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(reservation_, other.reservation_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) unmap_pages(data_, bytes_);
}

}  // namespace lockstep
