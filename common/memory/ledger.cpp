#include "common/memory/ledger.h"

namespace lockstep {

std::string_view to_string(MemoryTag tag) {
  static constexpr std::array<std::string_view, kNumMemoryTags> kNames{
      "weights", "kv", "kv_host", "activations", "load", "text", "wire", "other"};
  return kNames[static_cast<size_t>(tag)];
}

std::string_view to_string(MemoryPlace place) {
  return place == MemoryPlace::kHost ? "host" : "device";
}

int64_t MemoryLedger::bytes(MemoryTag tag) const {
  return bytes(tag, MemoryPlace::kHost) + bytes(tag, MemoryPlace::kDevice);
}

int64_t MemoryLedger::bytes(MemoryTag tag, MemoryPlace place) const {
  return bytes_[static_cast<size_t>(place)][static_cast<size_t>(tag)].load(
      std::memory_order_relaxed);
}

int64_t MemoryLedger::peak_bytes(MemoryTag tag) const {
  return peak_[static_cast<size_t>(tag)].load(std::memory_order_relaxed);
}

int64_t MemoryLedger::own_bytes(MemoryTag tag, MemoryPlace place) const {
  return own_bytes_[static_cast<size_t>(place)][static_cast<size_t>(tag)].load(
      std::memory_order_relaxed);
}

MemoryLedger& MemoryLedger::of_rank(int rank) {
  std::lock_guard lock(mutex_);
  while (ranks_.size() <= static_cast<size_t>(rank)) {
    ranks_.push_back(std::unique_ptr<MemoryLedger>(new MemoryLedger(*this)));
  }
  return *ranks_[static_cast<size_t>(rank)];
}

std::vector<const MemoryLedger*> MemoryLedger::ranks() const {
  std::lock_guard lock(mutex_);
  std::vector<const MemoryLedger*> ranks;
  ranks.reserve(ranks_.size());
  for (const auto& rank : ranks_) ranks.push_back(rank.get());
  return ranks;
}

void MemoryLedger::reserve(MemoryTag tag, MemoryPlace place, int64_t bytes) {
  own_bytes_[static_cast<size_t>(place)][static_cast<size_t>(tag)].fetch_add(
      bytes, std::memory_order_relaxed);
  add(tag, place, bytes);
}

void MemoryLedger::add(MemoryTag tag, MemoryPlace place, int64_t bytes) {
  const auto i = static_cast<size_t>(tag);
  bytes_[static_cast<size_t>(place)][i].fetch_add(bytes, std::memory_order_relaxed);
  const int64_t now = this->bytes(tag);
  int64_t peak = peak_[i].load(std::memory_order_relaxed);
  while (now > peak && !peak_[i].compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
  if (whole_ != nullptr) whole_->add(tag, place, bytes);
}

}  // namespace lockstep
