// Memory of the emulated devices, pinned host memory, and copies between them.
#include <vector>

#include "tests/cuda_emulation/allocations.h"
#include "tests/cuda_emulation/runtime.h"

namespace lockstep::cuda_emulation {
namespace {

cudaError_t allocate(Place place, void** data, size_t n_bytes) {
  use_device();
  *data = allocate(place, current_device(), n_bytes);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t free_when_idle(Place place, void* data) {
  use_device();
  if (data == nullptr) return cudaSuccess;
  const auto allocation = allocation_of(data, 0);
  if (!allocation || allocation->place != place) return cudaErrorInvalidValue;
  wait_for_device(allocation->device);
  return release(place, data) ? cudaSuccess : cudaErrorInvalidValue;
}

struct Copy {
  void* to;
  const void* from;
  size_t n_bytes;

  void operator()() const { std::memcpy(to, from, n_bytes); }
};

struct Ends {
  Place from, to;
};

bool fits(const Ends& ends, cudaMemcpyKind kind) {
  const bool from_device = ends.from == Place::kDevice;
  const bool to_device = ends.to == Place::kDevice;
  return from_device == (kind != cudaMemcpyHostToDevice) &&
         to_device == (kind != cudaMemcpyDeviceToHost);
}

// nullopt if the kind or the sizes are wrong.
std::optional<Ends> ends_of(const Copy& copy, cudaMemcpyKind kind) {
  const auto from = allocation_of(copy.from, copy.n_bytes);
  const auto to = allocation_of(copy.to, copy.n_bytes);
  if (!from || !to) return std::nullopt;
  const Ends ends{from->place, to->place};
  return fits(ends, kind) ? std::optional(ends) : std::nullopt;
}

}  // namespace
}  // namespace lockstep::cuda_emulation

using namespace lockstep::cuda_emulation;

cudaError_t cudaMalloc(void** data, size_t n_bytes) {
  return allocate(Place::kDevice, data, n_bytes);
}
cudaError_t cudaFree(void* data) { return free_when_idle(Place::kDevice, data); }

cudaError_t cudaMallocHost(void** data, size_t n_bytes) {
  return cudaHostAlloc(data, n_bytes, cudaHostAllocDefault);
}
cudaError_t cudaHostAlloc(void** data, size_t n_bytes, unsigned /*flags*/) {
  return allocate(Place::kPinned, data, n_bytes);
}
cudaError_t cudaFreeHost(void* data) { return free_when_idle(Place::kPinned, data); }

// In the default stream, as CUDA does; streams that do not block are not waited for.
cudaError_t cudaMemcpy(void* to, const void* from, size_t n_bytes, cudaMemcpyKind kind) {
  use_device();
  const Copy copy{to, from, n_bytes};
  if (!ends_of(copy, kind)) return cudaErrorInvalidValue;
  enqueue(nullptr, copy);
  wait_for(end_of(nullptr));
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  use_device();
  const Copy copy{to, from, n_bytes};
  const auto ends = ends_of(copy, kind);
  if (!ends) return cudaErrorInvalidValue;
  if (n_bytes == 0) return cudaSuccess;
  if (ends->from == Place::kPageable) {
    const auto* bytes = static_cast<const std::byte*>(from);
    enqueue(stream, [to, staged = std::vector<std::byte>(bytes, bytes + n_bytes)] {
      Copy{to, staged.data(), staged.size()}();
    });
    return cudaSuccess;
  }
  enqueue(stream, copy);
  if (ends->to == Place::kPageable) wait_for(end_of(stream));
  return cudaSuccess;
}
