// Device: the memory that Views point into. A Device allocates its memory, copies bytes to and from
// it, and makes the streams whose ops read and write it. One object per rank, used by one thread at
// a time; the creating thread need not be the one that uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "common/memory/ledger.h"
#include "kernels/ops.h"

namespace lockstep {

class Device {
 public:
  virtual ~Device() = default;
  virtual const std::string& name() const = 0;  // "cuda:0 NVIDIA H100 80GB HBM3"

  // 256-byte aligned, not zeroed. Throws std::bad_alloc when no memory is left.
  virtual std::byte* allocate(int64_t n_bytes) = 0;
  virtual void release(std::byte* data) = 0;

  // Both return when the bytes have arrived. Neither is ordered with streams: the caller must
  // wait() for a stream that uses the memory first.
  virtual void upload(void* device_data, const void* host_data, int64_t n_bytes) = 0;
  virtual void download(void* host_data, const void* device_data, int64_t n_bytes) = 0;

  // The device and the ledger must outlive the stream. Throws std::bad_alloc.
  virtual std::unique_ptr<Stream> make_stream(const StreamLimits& limits, MemoryLedger& ledger) = 0;
};

// Memory of a device, booked in a ledger; the destructor releases both. Device and ledger must
// outlive the buffer.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(Device& device, MemoryLedger& ledger, MemoryTag tag, int64_t n_bytes)
      : device_(&device),
        data_(device.allocate(n_bytes)),
        n_bytes_(n_bytes),
        reservation_(ledger, tag, n_bytes) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(n_bytes_, other.n_bytes_);
    std::swap(reservation_, other.reservation_);
    return *this;
  }
  ~DeviceBuffer() {
    if (device_ != nullptr) device_->release(data_);
  }

  std::byte* data() const { return data_; }
  int64_t bytes() const { return n_bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  Device* device_ = nullptr;
  std::byte* data_ = nullptr;
  int64_t n_bytes_ = 0;
  Reservation reservation_;
};

}  // namespace lockstep
