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
  // The address by which the driver's tools know a GPU, "0000:65:00.0"; empty for a CPU.
  virtual std::string pci_bus_id() const { return {}; }
  // Whether the device's memory is ordinary memory of this process, as a CPU's is.
  virtual bool is_host() const = 0;
  // The layout in which the device's ops read quantised weights.
  virtual PackedLayout weight_layout() const = 0;

  // At least 256-byte aligned; the contents are undefined. Throws std::bad_alloc when no memory is
  // left. Memory for weights may get larger pages.
  virtual std::byte* allocate(int64_t n_bytes, MemoryTag tag) = 0;
  virtual void release(std::byte* data, int64_t n_bytes) = 0;  // n_bytes: as allocated
  // Host memory that streams copy to and from: page-locked where that makes a difference. Throws
  // std::bad_alloc.
  virtual std::byte* allocate_host(int64_t n_bytes) = 0;
  virtual void release_host(std::byte* data, int64_t n_bytes) = 0;
  // Bytes that allocate() can still give, about; 0 = unknown.
  virtual int64_t free_bytes() const = 0;

  // Both return when the bytes have arrived. Neither is ordered with streams: the caller must
  // wait() for a stream that uses the memory first.
  virtual void upload(void* device_data, const void* host_data, int64_t n_bytes) = 0;
  virtual void download(void* host_data, const void* device_data, int64_t n_bytes) = 0;

  // The device and the ledger must outlive the stream. Throws std::bad_alloc.
  virtual std::unique_ptr<Stream> make_stream(const StreamLimits& limits, MemoryLedger& ledger) = 0;
  // Bytes of allocate() that make_stream() takes; 0 for a CPU, whose streams have other memory.
  virtual int64_t scratch_bytes(const StreamLimits& /*limits*/) const { return 0; }
};

// The CPU as a device, whose memory is the process's own. Its streams have the options' threads and
// instruction set, and the limits that make_stream() is given. Any thread.
std::unique_ptr<Device> make_cpu_device(const CpuStreamOptions& options);

// Memory of a device, booked in a ledger; the destructor releases both. Device and ledger must
// outlive the buffer. Without bytes there is no memory, and data() is null.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(Device& device, MemoryLedger& ledger, MemoryTag tag, int64_t n_bytes)
      : device_(&device),
        data_(n_bytes > 0 ? device.allocate(n_bytes, tag) : nullptr),
        n_bytes_(n_bytes),
        reservation_(ledger, tag, n_bytes,
                     device.is_host() ? MemoryPlace::kHost : MemoryPlace::kDevice) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(n_bytes_, other.n_bytes_);
    std::swap(reservation_, other.reservation_);
    return *this;
  }
  ~DeviceBuffer() {
    if (data_ != nullptr) device_->release(data_, n_bytes_);
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

// Host memory for the copies of a device's streams, booked like a DeviceBuffer.
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(Device& device, MemoryLedger& ledger, MemoryTag tag, int64_t n_bytes)
      : device_(&device),
        data_(n_bytes > 0 ? device.allocate_host(n_bytes) : nullptr),
        n_bytes_(n_bytes),
        reservation_(ledger, tag, n_bytes) {}
  HostBuffer(HostBuffer&& other) noexcept { *this = std::move(other); }
  HostBuffer& operator=(HostBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(n_bytes_, other.n_bytes_);
    std::swap(reservation_, other.reservation_);
    return *this;
  }
  ~HostBuffer() {
    if (data_ != nullptr) device_->release_host(data_, n_bytes_);
  }

  std::byte* data() const { return data_; }
  int64_t bytes() const { return n_bytes_; }

 private:
  Device* device_ = nullptr;
  std::byte* data_ = nullptr;
  int64_t n_bytes_ = 0;
  Reservation reservation_;
};

}  // namespace lockstep
