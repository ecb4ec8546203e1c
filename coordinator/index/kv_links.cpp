#include "coordinator/index/kv_links.h"

#include <algorithm>
#include <random>

namespace lockstep {
namespace {

// A closed slot is free after 32 ticks. A step takes time for its tables' places only.
constexpr size_t kTablesPerTick = KvBlockIndex::kTables / 32;
constexpr uint64_t kTicksPerReport = 4;

uint64_t random_secret() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

}  // namespace

KvLinks::KvLinks(const std::vector<std::string>& endpoints, wire::Context& context,
                 wire::ZmqLoop& loop, const Clock& clock, CoordinatorProbes& probes)
    : probes_(probes), index_(random_secret()), published_(endpoints.size()) {
  for (const std::string& endpoint : endpoints) {
    links_.emplace_back(endpoint, KvLinkParts{index_, context, loop, clock});
    probes_.index_node(endpoint, 0, 0, 0);
    for (size_t i = 0; i < kKvResyncCauses; ++i)
      probes_.index_resyncs(endpoint, cause_name(static_cast<KvResyncCause>(i)), 0);
  }
}

void KvLinks::tick() {
  for (NodeKvLink& link : links_) link.poll();
  if (index_.needs_sweep()) index_.sweep(kTablesPerTick);
  if (++n_ticks_ % kTicksPerReport == 0) publish();
}

void KvLinks::match(std::span<const uint64_t> chain, std::span<uint32_t> n_blocks) const {
  constexpr uint32_t kResolution = 8;
  const KvBlockIndex::Matches matches = index_.match(chain, ~SlotMask{0}, kResolution);
  for (size_t node = 0; node < links_.size(); ++node) {
    const std::optional<IndexSlot> slot = links_[node].mirror().slot();
    if (slot) n_blocks[node] = std::max(n_blocks[node], matches[static_cast<size_t>(*slot)]);
  }
}

// published_ is written on this thread only, so it is read here without the lock.
void KvLinks::publish() {
  std::vector<NodeKvStatus> status;
  status.reserve(links_.size());
  for (const NodeKvLink& link : links_) status.push_back(link.status());
  if (status == published_) return;
  for (size_t node = 0; node < links_.size(); ++node) {
    const NodeKvStatus &now = status[node], &before = published_[node];
    if (now == before) continue;
    const std::string& endpoint = links_[node].endpoint();
    probes_.index_node(endpoint, now.n_blocks, now.n_batches_behind, now.n_dropped);
    for (size_t i = 0; i < kKvResyncCauses; ++i) {
      if (now.n_resyncs[i] == before.n_resyncs[i]) continue;
      probes_.index_resyncs(endpoint, cause_name(static_cast<KvResyncCause>(i)), now.n_resyncs[i]);
    }
  }
  std::lock_guard lock(mutex_);
  published_ = std::move(status);
}

std::vector<NodeKvStatus> KvLinks::status() const {
  std::lock_guard lock(mutex_);
  return published_;
}

}  // namespace lockstep
