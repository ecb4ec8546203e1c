// MemoryLedger: the bytes in use under each tag. Every large allocation of a node is recorded by a
// Reservation, so that `lockstep_memory_bytes{tag}` shows what the memory is used for. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

namespace lockstep {

enum class MemoryTag : uint8_t {
  kWeights,
  kKv,
  kKvHost,
  kActivations,
  kLoad,
  kText,
  kWire,
  kOther
};
inline constexpr size_t kNumMemoryTags = 8;
std::string_view to_string(MemoryTag tag);

class MemoryLedger {
 public:
  // The bytes held now under `tag`, and the maximum ever held at once.
  int64_t bytes(MemoryTag tag) const;
  int64_t peak_bytes(MemoryTag tag) const;

 private:
  friend class Reservation;
  void add(MemoryTag tag, int64_t bytes);

  std::array<std::atomic<int64_t>, kNumMemoryTags> bytes_{};
  std::array<std::atomic<int64_t>, kNumMemoryTags> peak_{};
};

// Reservation: records `bytes` under `tag` for its own lifetime. The ledger must outlive it.
class Reservation {
 public:
  Reservation() = default;
  Reservation(MemoryLedger& ledger, MemoryTag tag, int64_t bytes)
      : ledger_(&ledger), tag_(tag), bytes_(bytes) {
    ledger.add(tag, bytes);
  }
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept {
    std::swap(ledger_, other.ledger_);
    std::swap(tag_, other.tag_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Reservation() {
    if (ledger_ != nullptr) ledger_->add(tag_, -bytes_);
  }

 private:
  MemoryLedger* ledger_ = nullptr;
  MemoryTag tag_ = MemoryTag::kOther;
  int64_t bytes_ = 0;
};

}  // namespace lockstep
