// Replaces operator new of the executable whose one test file includes this header. It counts the
// allocations of a warm loop, on this thread or on all threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace lockstep::testing {

inline thread_local bool is_counting_this_thread = false;
inline std::atomic<bool> is_counting_all_threads{false};
inline std::atomic<int> n_allocations{0};

// Returns nullptr if the allocation fails.
inline void* counted_alloc(std::size_t n_bytes,
                           std::size_t alignment = alignof(std::max_align_t)) noexcept {
  if (is_counting_this_thread || is_counting_all_threads.load(std::memory_order_relaxed)) {
    ++n_allocations;
  }
  const std::size_t n_whole = (std::max<std::size_t>(n_bytes, 1) + alignment - 1) / alignment;
  return std::aligned_alloc(alignment, n_whole * alignment);
}

inline void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace lockstep::testing

// g++ 12 warns of a mismatched pair if it inlines only one of operator new and operator delete.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

void* operator new(std::size_t n) {
  return lockstep::testing::or_throw(lockstep::testing::counted_alloc(n));
}
void* operator new[](std::size_t n) {
  return lockstep::testing::or_throw(lockstep::testing::counted_alloc(n));
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  return lockstep::testing::counted_alloc(n);
}
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
  return lockstep::testing::counted_alloc(n);
}
void* operator new(std::size_t n, std::align_val_t to) {
  return lockstep::testing::or_throw(
      lockstep::testing::counted_alloc(n, static_cast<std::size_t>(to)));
}
void* operator new[](std::size_t n, std::align_val_t to) {
  return lockstep::testing::or_throw(
      lockstep::testing::counted_alloc(n, static_cast<std::size_t>(to)));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
