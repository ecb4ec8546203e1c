#include "coordinator/index/node_residency.h"

namespace lockstep {

std::optional<NodeResidency> NodeResidency::open(KvBlockIndex& index, size_t max_blocks) {
  const std::optional<IndexSlot> slot = index.open();
  if (!slot) return std::nullopt;
  return NodeResidency(index, *slot, max_blocks);
}

void NodeResidency::close() {
  if (index_ != nullptr) index_->close(slot_);
  index_ = nullptr;
}

NodeResidency& NodeResidency::operator=(NodeResidency&& other) noexcept {
  if (this == &other) return *this;
  close();
  index_ = std::exchange(other.index_, nullptr);
  slot_ = other.slot_;
  max_blocks_ = other.max_blocks_;
  digest_ = other.digest_;
  twins_ = std::move(other.twins_);
  n_twins_ = other.n_twins_;
  return *this;
}

NodeResidency::Applied NodeResidency::apply(const wire::KvEventBatch& batch) {
  for (const wire::KvEvent& event : batch.events) {
    const std::span<const uint64_t> hashes = batch.hashes_of(event);
    for (uint64_t hash : hashes) index_->prefetch(hash);
    Applied applied = Applied::kAll;
    switch (event.kind) {
      case wire::KvEvent::Kind::kStored:
        applied = store(event, hashes);
        break;
      case wire::KvEvent::Kind::kRemoved:
        applied = remove(hashes);
        break;
      case wire::KvEvent::Kind::kCleared:
        applied = n_blocks() == 0 ? Applied::kAll : Applied::kCleared;
        break;
    }
    if (applied != Applied::kAll) return applied;
  }
  return Applied::kAll;
}

NodeResidency::Applied NodeResidency::store(const wire::KvEvent& event,
                                            std::span<const uint64_t> hashes) {
  if (event.parent && !index_->contains(slot_, *event.parent)) return Applied::kUnknownBlock;
  for (uint64_t hash : hashes) {
    if (n_blocks() >= max_blocks_) return Applied::kOverCapacity;
    if (!index_->add(slot_, hash)) {
      ++twins_[hash];
      ++n_twins_;
    }
    digest_ += hash;
  }
  return Applied::kAll;
}

NodeResidency::Applied NodeResidency::remove(std::span<const uint64_t> hashes) {
  for (uint64_t hash : hashes) {
    const auto twin = twins_.empty() ? twins_.end() : twins_.find(hash);
    if (twin != twins_.end()) {
      if (--twin->second == 0) twins_.erase(twin);
      --n_twins_;
    } else if (!index_->remove(slot_, hash)) {
      return Applied::kUnknownBlock;
    }
    digest_ -= hash;
  }
  return Applied::kAll;
}

}  // namespace lockstep
