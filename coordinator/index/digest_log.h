// DigestLog: the digests of a node's residency after its latest batches, by number. A heartbeat and
// the events come by different sockets, so the digest that a heartbeat names may be that of some
// batches ago. I/O thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace lockstep {

class DigestLog {
 public:
  static constexpr uint64_t kKept = 256;

  // Forgets all and begins with the digest before batch number `seq`.
  void restart(uint64_t seq, uint64_t digest) {
    first_ = seq;
    end_ = seq;
    append(digest);
  }
  // The digest after one more batch.
  void append(uint64_t digest) { digests_[end_++ % kKept] = digest; }
  // The digest before batch number `seq`; nullopt: not kept, or not reached.
  std::optional<uint64_t> before(uint64_t seq) const {
    if (seq < first_ || seq >= end_ || end_ - seq > kKept) return std::nullopt;
    return digests_[seq % kKept];
  }

 private:
  std::array<uint64_t, kKept> digests_{};
  uint64_t first_ = 0, end_ = 0;
};

}  // namespace lockstep
