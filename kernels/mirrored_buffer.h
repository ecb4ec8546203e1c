// MirroredBuffer: memory of a device with a copy of it on the host. The host writes or reads its
// copy, and a stream moves the bytes. On a CPU the two are one, and nothing moves. Owned and used
// by a rank's thread.
#pragma once

#include "kernels/device.h"

namespace lockstep {

class MirroredBuffer {
 public:
  MirroredBuffer() = default;
  // Device and ledger must outlive the buffer. Throws std::bad_alloc.
  MirroredBuffer(Device& device, MemoryLedger& ledger, MemoryTag tag, int64_t n_bytes)
      : device_(device, ledger, tag, n_bytes) {
    if (!device.is_host()) host_ = HostBuffer(device, ledger, tag, n_bytes);
  }

  std::byte* on_device() const { return device_.data(); }
  std::byte* on_host() const { return is_mirrored() ? host_.data() : device_.data(); }
  int64_t bytes() const { return device_.bytes(); }

  // Queue the copy of the first n_bytes. The host's copy stays untouched, or is not read, until an
  // event behind the copy is done.
  void upload(int64_t n_bytes, Stream& stream) const {
    if (is_mirrored()) stream.copy_to_device(copy_of(n_bytes));
  }
  void download(int64_t n_bytes, Stream& stream) const {
    if (is_mirrored()) stream.copy_to_host(copy_of(n_bytes));
  }

 private:
  bool is_mirrored() const { return host_.data() != nullptr; }
  CopyArgs copy_of(int64_t n_bytes) const {
    return {.device = device_.data(), .host = host_.data(), .row_bytes = n_bytes};
  }

  DeviceBuffer device_;
  HostBuffer host_;
};

}  // namespace lockstep
