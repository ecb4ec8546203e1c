#include "node/model/weights/weight_writer.h"

#include <algorithm>
#include <limits>

#include "common/check.h"

namespace lockstep {

WeightWriter::WeightWriter(Device& device, Stream& stream, MemoryLedger& ledger,
                           int64_t staging_bytes)
    : device_(device), stream_(stream), ledger_(ledger), staging_bytes_(staging_bytes) {
  if (device.is_host()) return;
  for (Staging& staging : staging_) staging.copied = stream.make_event();
}

WeightWriter::~WeightWriter() {
  if (!device_.is_host()) stream_.wait();
}

int64_t WeightWriter::max_piece_bytes() const {
  return device_.is_host() ? std::numeric_limits<int64_t>::max() : staging_bytes_;
}

std::byte* WeightWriter::begin(std::byte* to, int64_t n_bytes) {
  CHECK(piece_.device == nullptr);
  piece_ = {.device = to, .host = to, .row_bytes = n_bytes};
  if (device_.is_host()) return to;
  Staging& staging = staging_[turn_];
  staging.copied->wait();
  if (staging.buffer.bytes() < n_bytes) {
    staging.buffer = {};
    staging.buffer =
        HostBuffer(device_, ledger_, MemoryTag::kLoad, std::max(n_bytes, staging_bytes_));
  }
  piece_.host = staging.buffer.data();
  return piece_.host;
}

void WeightWriter::commit() {
  CHECK(piece_.device != nullptr);
  if (!device_.is_host()) {
    stream_.copy_to_device(piece_);
    staging_[turn_].copied->record();
    turn_ ^= 1;
  }
  piece_ = {};
}

}  // namespace lockstep
