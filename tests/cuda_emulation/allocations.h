// The memory that the emulated run-time API has handed out: device memory and pinned host memory.
// Any other memory is pageable host memory.
#pragma once

#include <cstddef>
#include <optional>

namespace lockstep::cuda_emulation {

enum class Place { kPageable, kPinned, kDevice };

struct Allocation {
  Place place = Place::kPageable;
  std::byte* data = nullptr;
  size_t n_bytes = 0;
  int device = 0;  // the current one of the thread that allocated it
};

// 256-byte aligned, every byte 0xff. nullptr: the device, or this machine, has no such memory left.
void* allocate(Place place, int device, size_t n_bytes);
// Bytes of device memory in use.
size_t allocated_bytes(int device);
// False if `data` is not the begin of an allocation of this place.
bool release(Place place, void* data);
// The allocation that [data, data + n_bytes) lies in; one of pageable memory, without data, if they
// are outside of all; nullopt if they cross the bounds of one.
std::optional<Allocation> allocation_of(const void* data, size_t n_bytes);

}  // namespace lockstep::cuda_emulation
