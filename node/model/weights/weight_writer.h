// WeightWriter: the way of weights from the host into a device's memory, a piece at a time. On a
// CPU the host writes a piece where it stays. For a GPU, two page-locked buffers take turns: while
// one is filled, the other is copied. Used by a rank's thread while it loads.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "common/units.h"
#include "kernels/device.h"

namespace lockstep {

class WeightWriter {
 public:
  // References must outlive the object; `stream` is one of `device`. staging_bytes: of each of the
  // two buffers.
  WeightWriter(Device& device, Stream& stream, MemoryLedger& ledger,
               int64_t staging_bytes = 16_MiB);
  ~WeightWriter();  // waits for the copies
  WeightWriter(const WeightWriter&) = delete;
  WeightWriter& operator=(const WeightWriter&) = delete;

  // A piece should have no more bytes than this.
  int64_t max_piece_bytes() const;
  // Returns host memory in which the caller writes the n_bytes that go to `to`, until commit().
  // One piece at a time. Throws std::bad_alloc.
  std::byte* begin(std::byte* to, int64_t n_bytes);
  void commit();

 private:
  struct Staging {
    HostBuffer buffer;
    std::unique_ptr<Event> copied;
  };

  Device& device_;
  Stream& stream_;
  MemoryLedger& ledger_;
  const int64_t staging_bytes_;
  std::array<Staging, 2> staging_;  // empty on a CPU
  size_t turn_ = 0;                 // of the buffer that is filled next
  CopyArgs piece_;                  // between begin() and commit()
};

}  // namespace lockstep
