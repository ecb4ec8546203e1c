// MemoryLedger: the bytes in use under each tag, in host memory and on devices. Every large
// allocation of a node is recorded by a Reservation, so that `lockstep_memory_bytes{tag, place,
// rank}` shows what the memory is used for. Each rank books in a ledger of its own, which is part
// of the node's. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

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

enum class MemoryPlace : uint8_t { kHost, kDevice };
inline constexpr size_t kNumMemoryPlaces = 2;
std::string_view to_string(MemoryPlace place);

class MemoryLedger {
 public:
  MemoryLedger() = default;
  MemoryLedger(const MemoryLedger&) = delete;
  MemoryLedger& operator=(const MemoryLedger&) = delete;

  // The bytes held now under `tag`, ranks included, and the maximum ever held at once.
  int64_t bytes(MemoryTag tag) const;
  int64_t bytes(MemoryTag tag, MemoryPlace place) const;
  int64_t peak_bytes(MemoryTag tag) const;
  // Of bytes(tag, place), what no rank holds.
  int64_t own_bytes(MemoryTag tag, MemoryPlace place) const;

  // The ledger of one rank, made by the first call; it lives as long as this one.
  MemoryLedger& of_rank(int rank);
  // The ledgers of the ranks, by rank.
  std::vector<const MemoryLedger*> ranks() const;

 private:
  friend class Reservation;
  explicit MemoryLedger(MemoryLedger& whole) : whole_(&whole) {}
  void reserve(MemoryTag tag, MemoryPlace place, int64_t bytes);
  void add(MemoryTag tag, MemoryPlace place, int64_t bytes);

  using ByTag = std::array<std::atomic<int64_t>, kNumMemoryTags>;
  MemoryLedger* const whole_ = nullptr;  // of a rank's ledger
  std::array<ByTag, kNumMemoryPlaces> bytes_{}, own_bytes_{};
  ByTag peak_{};

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<MemoryLedger>> ranks_;  // guarded by mutex_
};

// Reservation: records `bytes` under `tag` for its own lifetime. The ledger must outlive it.
class Reservation {
 public:
  Reservation() = default;
  Reservation(MemoryLedger& ledger, MemoryTag tag, int64_t bytes,
              MemoryPlace place = MemoryPlace::kHost)
      : ledger_(&ledger), tag_(tag), place_(place), bytes_(bytes) {
    ledger.reserve(tag, place, bytes);
  }
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept {
    std::swap(ledger_, other.ledger_);
    std::swap(tag_, other.tag_);
    std::swap(place_, other.place_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Reservation() {
    if (ledger_ != nullptr) ledger_->reserve(tag_, place_, -bytes_);
  }

 private:
  MemoryLedger* ledger_ = nullptr;
  MemoryTag tag_ = MemoryTag::kOther;
  MemoryPlace place_ = MemoryPlace::kHost;
  int64_t bytes_ = 0;
};

}  // namespace lockstep
