#include "tests/cuda_emulation/allocations.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>

namespace lockstep::cuda_emulation {
namespace {

std::mutex mutex;
std::map<const std::byte*, Allocation, std::less<>> allocations;  // by data; guarded by mutex

}  // namespace

void* allocate(Place place, int device, size_t n_bytes) {
  void* data = nullptr;
  if (n_bytes > size_t{1} << 30 || posix_memalign(&data, 256, n_bytes) != 0) return nullptr;
  std::memset(data, 0xff, n_bytes);
  auto* bytes = static_cast<std::byte*>(data);
  const std::lock_guard lock(mutex);
  allocations[bytes] = {place, bytes, n_bytes, device};
  return data;
}

bool release(Place place, void* data) {
  const std::lock_guard lock(mutex);
  const auto found = allocations.find(static_cast<const std::byte*>(data));
  if (found == allocations.end() || found->second.place != place) return false;
  allocations.erase(found);
  std::free(data);
  return true;
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
