// Buffer: owns whole pages of host memory. The kernel zero-fills them on first touch. The bytes are
// recorded in a MemoryLedger; the destructor frees them. One thread at a time.
#pragma once

#include <cstddef>
#include <span>

#include "common/memory/ledger.h"

namespace lockstep {

// Maps n_bytes (above 0) of zeroed pages. The kernel gives them memory on first touch; pages for
// weights are large ones where it can. Throws std::bad_alloc.
std::byte* map_pages(int64_t n_bytes, MemoryTag tag);
void unmap_pages(std::byte* data, int64_t n_bytes);

class Buffer {
 public:
  Buffer() = default;
  // Allocates `bytes` (rounded up to 64) of zeroed memory; throws std::bad_alloc on failure.
  Buffer(MemoryLedger& ledger, MemoryTag tag, int64_t bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  std::span<T> span() const {
    return {as<T>(), static_cast<size_t>(bytes_) / sizeof(T)};
  }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  Reservation reservation_;
};

}  // namespace lockstep
