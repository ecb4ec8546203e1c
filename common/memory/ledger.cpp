#include "common/memory/ledger.h"

namespace lockstep {

std::string_view to_string(MemoryTag tag) {
  static constexpr std::array<std::string_view, kNumMemoryTags> kNames{
      "weights", "kv", "kv_host", "activations", "load", "text", "wire", "other"};
  return kNames[static_cast<size_t>(tag)];
}

int64_t MemoryLedger::bytes(MemoryTag tag) const {
  return bytes_[static_cast<size_t>(tag)].load(std::memory_order_relaxed);
}

int64_t MemoryLedger::peak_bytes(MemoryTag tag) const {
  return peak_[static_cast<size_t>(tag)].load(std::memory_order_relaxed);
}

void MemoryLedger::add(MemoryTag tag, int64_t bytes) {
  const auto i = static_cast<size_t>(tag);
  const int64_t now = bytes_[i].fetch_add(bytes, std::memory_order_relaxed) + bytes;
  int64_t peak = peak_[i].load(std::memory_order_relaxed);
  while (now > peak && !peak_[i].compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

}  // namespace lockstep
