// Memory of the emulated devices, pinned host memory, and copies between them.
#include <optional>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/allocations.h"
#include "tests/cuda_emulation/counters.h"
#include "tests/cuda_emulation/platform.h"
#include "tests/cuda_emulation/runtime.h"

namespace lockstep::cuda_emulation {
namespace {

cudaError_t allocate(Place place, void** data, size_t n_bytes) {
  use_device();
  *data = allocate(place, current_device(), n_bytes);
  return *data == nullptr ? cudaErrorMemoryAllocation : status();
}

cudaError_t free_when_idle(Place place, void* data) {
  use_device();
  if (data == nullptr) return status();
  const auto allocation = allocation_of(data, 0);
  if (!allocation || allocation->place != place) return cudaErrorInvalidValue;
  count(&Counters::n_synchronizes);
  wait_for_device(allocation->device);
  return release(place, data) ? status() : cudaErrorInvalidValue;
}

// Rows of bytes in memory: of a copy's one end, or of a memset.
struct Rows {
  const void* data;
  size_t pitch;  // bytes from the begin of one row to that of the next
  size_t width;  // bytes
  size_t n;

  bool is_valid() const { return n == 1 || (pitch >= width && pitch <= 0x7fffffff); }
  size_t extent() const { return width == 0 || n == 0 ? 0 : (n - 1) * pitch + width; }
  std::byte* row(size_t i) const {
    return static_cast<std::byte*>(const_cast<void*>(data)) + i * pitch;
  }
  // nullopt: partly outside of an allocation.
  std::optional<Place> place() const {
    const auto allocation = allocation_of(data, extent());
    return allocation ? std::optional(allocation->place) : std::nullopt;
  }
};

struct Copy {
  Rows to, from;

  void operator()() const {
    for (size_t i = 0; i < to.n; ++i) std::memcpy(to.row(i), from.row(i), to.width);
  }
};

bool fits(Place from, Place to, cudaMemcpyKind kind) {
  return (from == Place::kDevice) == (kind != cudaMemcpyHostToDevice) &&
         (to == Place::kDevice) == (kind != cudaMemcpyDeviceToHost);
}

cudaError_t check(const Copy& copy, cudaMemcpyKind kind) {
  if (!copy.to.is_valid() || !copy.from.is_valid()) return cudaErrorInvalidPitchValue;
  const auto from = copy.from.place(), to = copy.to.place();
  return from && to && fits(*from, *to, kind) ? cudaSuccess : cudaErrorInvalidValue;
}

// Pageable memory is read now.
void enqueue_staged(const Copy& copy, cudaStream_t stream) {
  const size_t width = copy.to.width, n = copy.to.n;
  std::vector<std::byte> bytes(width * n);
  Copy{{bytes.data(), width, width, n}, copy.from}();
  enqueue(stream, [to = copy.to, bytes = std::move(bytes)] {
    Copy{to, {bytes.data(), to.width, to.width, to.n}}();
  });
}

cudaError_t copy_async(const Copy& copy, cudaMemcpyKind kind, cudaStream_t stream) {
  use_device();
  const cudaError_t error = check(copy, kind);
  if (error != cudaSuccess || copy.to.extent() == 0) return error;
  if (copy.from.place() == Place::kPageable) {
    enqueue_staged(copy, stream);
    return status();
  }
  enqueue(stream, copy);
  if (copy.to.place() == Place::kPageable) {
    count(&Counters::n_blocking_copies);
    wait_for(end_of(stream));
  }
  return status();
}

cudaError_t set_async(const Rows& rows, int value, cudaStream_t stream) {
  use_device();
  if (!rows.is_valid()) return cudaErrorInvalidPitchValue;
  if (rows.extent() == 0) return status();
  if (rows.place() != Place::kDevice) return cudaErrorInvalidValue;
  enqueue(stream, [=] {
    for (size_t i = 0; i < rows.n; ++i) std::memset(rows.row(i), value, rows.width);
  });
  return status();
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

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  use_device();
  const size_t used = allocated_bytes(current_device());
  *total = platform().device_bytes;
  *free = *total > used ? *total - used : 0;
  return status();
}

// In the default stream, as CUDA does; streams that do not block are not waited for.
cudaError_t cudaMemcpy(void* to, const void* from, size_t n_bytes, cudaMemcpyKind kind) {
  use_device();
  const Copy copy{{to, n_bytes, n_bytes, 1}, {from, n_bytes, n_bytes, 1}};
  const cudaError_t error = check(copy, kind);
  if (error != cudaSuccess || n_bytes == 0) return error;
  count(&Counters::n_blocking_copies);
  enqueue(nullptr, copy);
  wait_for(end_of(nullptr));
  return status();
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy_async({{to, n_bytes, n_bytes, 1}, {from, n_bytes, n_bytes, 1}}, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t n_rows, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return copy_async({{to, to_pitch, width, n_rows}, {from, from_pitch, width, n_rows}}, kind,
                    stream);
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t n_bytes, cudaStream_t stream) {
  return set_async({data, n_bytes, n_bytes, 1}, value, stream);
}

cudaError_t cudaMemset2DAsync(void* data, size_t pitch, int value, size_t width, size_t n_rows,
                              cudaStream_t stream) {
  return set_async({data, pitch, width, n_rows}, value, stream);
}
