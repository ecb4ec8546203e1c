// Copies between a device and the host, fills, and events: what a Stream queues beside ops. Rows
// are pieces of row_bytes bytes; the starts of two rows are a stride apart.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep {

// A copy to or from a device. The host memory is of Device::allocate_host() and stays untouched
// until an event behind the copy is done.
struct CopyArgs {
  std::byte* device = nullptr;
  std::byte* host = nullptr;
  int64_t row_bytes = 0;
  int64_t n_rows = 1;
  int64_t device_stride = 0;  // bytes; unused if there is one row
  int64_t host_stride = 0;
};

// Sets every byte of device memory to `value`.
struct FillArgs {
  std::byte* data = nullptr;
  uint8_t value = 0;
  int64_t row_bytes = 0;
  int64_t n_rows = 1;
  int64_t stride = 0;  // bytes; unused if there is one row
};

// Event: a point in the queue of the stream that made it, which must outlive it. Used by that
// stream's thread.
class Event {
 public:
  virtual ~Event() = default;
  virtual void record() = 0;         // the point is now behind all that is queued
  virtual bool is_done() const = 0;  // the stream has passed the point; true before record()
  virtual void wait() const = 0;     // blocks until is_done()
};

}  // namespace lockstep
