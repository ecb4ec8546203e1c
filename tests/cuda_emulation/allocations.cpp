#include "tests/cuda_emulation/allocations.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>

#include "tests/cuda_emulation/device_memory.h"
#include "tests/cuda_emulation/platform.h"

namespace lockstep::cuda_emulation {
namespace {

constexpr size_t kAlignment = 256;

std::mutex mutex;
// guarded by mutex
std::map<const std::byte*, Allocation, std::less<>> allocations;  // by data
std::map<int, size_t> used;                                       // bytes of each device

std::byte* pinned_memory(size_t n_bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, kAlignment, n_bytes) != 0) return nullptr;
  std::memset(data, 0xff, n_bytes);
  return static_cast<std::byte*>(data);
}

}  // namespace

void* allocate(Place place, int device, size_t n_bytes) {
  const std::lock_guard lock(mutex);
  if (place == Place::kDevice) {
    const size_t total = platform().device_bytes;
    if (n_bytes > total || used[device] > total - n_bytes) return nullptr;
  }
  std::byte* bytes = place == Place::kDevice ? map_device_memory(n_bytes) : pinned_memory(n_bytes);
  if (bytes == nullptr) return nullptr;
  allocations[bytes] = {place, bytes, n_bytes, device};
  if (place == Place::kDevice) used[device] += n_bytes;
  return bytes;
}

bool release(Place place, void* data) {
  const std::lock_guard lock(mutex);
  const auto found = allocations.find(static_cast<const std::byte*>(data));
  if (found == allocations.end() || found->second.place != place) return false;
  const Allocation allocation = found->second;
  allocations.erase(found);
  if (place == Place::kDevice) {
    used[allocation.device] -= allocation.n_bytes;
    unmap_device_memory(allocation.data);
  } else {
    std::free(allocation.data);
  }
  return true;
}

size_t allocated_bytes(int device) {
  const std::lock_guard lock(mutex);
  return used[device];
}

std::optional<Allocation> allocation_of(const void* data, size_t n_bytes) {
  const auto* begin = static_cast<const std::byte*>(data);
  const std::lock_guard lock(mutex);
  const auto next = allocations.upper_bound(begin);
  if (next != allocations.begin()) {
    const Allocation& before = std::prev(next)->second;
    const std::byte* end = before.data + before.n_bytes;
    if (begin + n_bytes <= end) return before;
    if (begin < end) return std::nullopt;
  }
  if (next != allocations.end() && begin + n_bytes > next->second.data) return std::nullopt;
  return Allocation{};
}

}  // namespace lockstep::cuda_emulation
