// The bytes of the emulated devices' memory. With the guard on, host code that touches them, which
// a real device's memory would not allow either, ends the process with SIGSEGV and a line that says
// so.
#pragma once

#include <cstddef>

namespace lockstep::cuda_emulation {

// 256-byte aligned, every byte 0xff. The pages before and behind are never accessible, and the
// memory ends at the latter, up to its alignment. nullptr: no memory.
std::byte* map_device_memory(size_t n_bytes);
void unmap_device_memory(std::byte* data);

// Holds for what is mapped already, too.
void set_guard(bool on);

// While a thread has one of these, device memory can be accessed, by the other threads as well.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace lockstep::cuda_emulation
