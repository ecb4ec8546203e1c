#include "node/kv/host/host_tier.h"

#include <algorithm>
#include <bit>

#include "common/check.h"

namespace lockstep {

HostPin& HostPin::operator=(HostPin&& other) noexcept {
  std::swap(tier_, other.tier_);
  std::swap(id_, other.id_);
  return *this;
}

HostPin::~HostPin() {
  if (tier_ != nullptr) tier_->unpin(id_);
}

uint64_t HostPin::tag() const { return tier_->tag(id_); }
bool HostPin::is_valid() const { return tier_->is_valid(id_); }

void release(std::vector<HostPin>& pins) {
  while (!pins.empty()) pins.pop_back();
}

HostTier::HostTier(int32_t n_blocks, int32_t n_device_blocks, int32_t block_size,
                   int32_t max_stores)
    : block_size_(block_size), max_stores_(max_stores) {
  CHECK(n_blocks >= 0 && block_size > 0);
  const auto n = static_cast<size_t>(n_blocks);
  blocks_.resize(n);
  tokens_.resize(n * static_cast<size_t>(block_size));
  buckets_.assign(std::bit_ceil(2 * n + 1), -1);
  prefixes_.resize(static_cast<size_t>(n_device_blocks));
  free_.reserve(n);
  for (int32_t i = n_blocks - 1; i >= 0; --i) {
    free_.push_back(i);
    blocks_[static_cast<size_t>(i)].place = unlisted_.insert(unlisted_.end(), i);
  }
  n_by_state_[static_cast<size_t>(HostBlockState::kFree)] = n_blocks;
}

HostTier::~HostTier() { CHECK_EQ(n_blocks(HostBlockState::kPinned), 0); }

HostTier::Block& HostTier::block(HostBlockId id) {
  CHECK(raw(id) >= 0 && raw(id) < n_blocks_total());
  return blocks_[static_cast<size_t>(raw(id))];
}

const HostTier::Block& HostTier::block(HostBlockId id) const {
  CHECK(raw(id) >= 0 && raw(id) < n_blocks_total());
  return blocks_[static_cast<size_t>(raw(id))];
}

std::span<const int32_t> HostTier::tokens(HostBlockId id) const {
  return block_of(tokens_, raw(id), block_size_);
}

// --- Lookup by prefix ----------------------------------------------------------------------------

HostBlockId HostTier::find(PrefixId parent, const PrefixKey& key, uint64_t hash,
                           std::span<const int32_t> tokens) const {
  for (int32_t i = buckets_[bucket_of(hash)]; i >= 0;
       i = blocks_[static_cast<size_t>(i)].next_in_bucket) {
    const Block& b = blocks_[static_cast<size_t>(i)];
    if (b.hash != hash || b.parent != parent) continue;
    if (parent == kRoot && b.key.salt != key.salt) continue;
    if (std::ranges::equal(this->tokens(HostBlockId{i}), tokens)) return HostBlockId{i};
  }
  return kNone;
}

int HostTier::n_in_bucket(uint64_t hash) const {
  int n = 0;
  for (int32_t i = buckets_[bucket_of(hash)]; i >= 0;
       i = blocks_[static_cast<size_t>(i)].next_in_bucket) {
    ++n;
  }
  return n;
}

void HostTier::link(HostBlockId id) {
  Block& b = block(id);
  int32_t& first = buckets_[bucket_of(b.hash)];
  b.next_in_bucket = std::exchange(first, raw(id));
  b.is_valid = true;
}

void HostTier::unlink(HostBlockId id) {
  Block& b = block(id);
  int32_t* at = &buckets_[bucket_of(b.hash)];
  while (*at != raw(id)) at = &blocks_[static_cast<size_t>(*at)].next_in_bucket;
  *at = b.next_in_bucket;
  b.is_valid = false;
}

HostTier::PrefixId HostTier::prefix_before(const PrefixIndex& index, BlockId entry) const {
  const BlockId parent = index.parent(entry);
  return parent == PrefixIndex::kNone ? kRoot : prefixes_[static_cast<size_t>(raw(parent))];
}

void HostTier::stored(const PrefixIndex& index, BlockId entry) {
  if (blocks_.empty()) return;
  const HostBlockId known =
      find(prefix_before(index, entry), index.key(entry), index.hash(entry), index.tokens(entry));
  prefixes_[static_cast<size_t>(raw(entry))] =
      known == kNone ? next_prefix_++ : block(known).prefix;
}

void HostTier::match(const PrefixHashes& hashes, std::span<const int32_t> tokens,
                     int32_t first_block, int32_t end_block, BlockId last,
                     std::vector<HostBlockId>& out) const {
  out.clear();
  if (blocks_.empty() || hashes.root == 0) return;
  PrefixId parent = last == PrefixIndex::kNone ? kRoot : prefixes_[static_cast<size_t>(raw(last))];
  const int32_t end = std::min(end_block, static_cast<int32_t>(hashes.blocks.size()));
  for (int32_t b = first_block; b < end; ++b) {
    const HostBlockId found = find(parent, hashes.key, hashes.blocks[static_cast<size_t>(b)],
                                   block_of(tokens, b, block_size_));
    if (found == kNone) return;
    out.push_back(found);
    parent = block(found).prefix;
  }
}

// --- Stores, pins and evictions ------------------------------------------------------------------

void HostTier::evicted(const PrefixIndex& index, BlockId entry, int32_t tenant) {
  if (blocks_.empty()) return;
  const PrefixId parent = prefix_before(index, entry);
  const HostBlockId known = find(parent, index.key(entry), index.hash(entry), index.tokens(entry));
  if (known != kNone) {
    if (state(known) == HostBlockState::kCached) {
      order_.splice(order_.end(), order_, block(known).place);
    }
    return;
  }
  if (static_cast<int32_t>(stores_.size()) == max_stores_) return;
  if (n_in_bucket(index.hash(entry)) >= PrefixIndex::kMaxInBucket) {
    ++n_not_indexed_;
    return;
  }
  const HostBlockId id = take_block();
  if (id == kNone) return;
  Block& b = block(id);
  b.is_bad = false;
  b.tenant = tenant;
  b.prefix = prefixes_[static_cast<size_t>(raw(entry))];
  b.parent = parent;
  b.key = parent == kRoot ? index.key(entry) : PrefixKey();
  b.key_hash = prefix_hash(index.key(entry));
  b.hash = index.hash(entry);
  std::ranges::copy(index.tokens(entry), tokens_.begin() + std::ptrdiff_t{raw(id)} * block_size_);
  link(id);
  set_state(id, HostBlockState::kCached);
  stores_.push_back({.from = entry, .to = id, .tag = b.prefix});
  ++n_stored_;
}

// Returns a free block, after evicting the least recently used one if none is free; kNone if all
// blocks are pinned or in quarantine.
HostBlockId HostTier::take_block() {
  if (free_.empty()) {
    if (order_.empty()) return kNone;
    invalidate(HostBlockId{order_.front()}, /*is_bad=*/false);
    ++n_evicted_;
  }
  const HostBlockId id{free_.back()};
  free_.pop_back();
  return id;
}

void HostTier::take_stores(std::vector<HostCopy>& out) {
  out.clear();
  std::swap(out, stores_);
}

void HostTier::begin_step() {
  ++step_;
  std::erase_if(quarantined_, [&](int32_t i) {
    const HostBlockId id{i};
    if (block(id).until_step > step_) return false;
    set_state(id, HostBlockState::kFree);
    free_.push_back(i);
    return true;
  });
}

void HostTier::set_state(HostBlockId id, HostBlockState to) {
  Block& b = block(id);
  --n_by_state_[static_cast<size_t>(b.state)];
  ++n_by_state_[static_cast<size_t>(to)];
  if (b.state == HostBlockState::kCached) unlisted_.splice(unlisted_.end(), order_, b.place);
  if (to == HostBlockState::kCached) order_.splice(order_.end(), unlisted_, b.place);
  b.state = to;
}

HostPin HostTier::pin(HostBlockId id) {
  Block& b = block(id);
  CHECK(b.is_valid);
  if (b.n_pins++ == 0) set_state(id, HostBlockState::kPinned);
  return HostPin(*this, id);
}

void HostTier::unpin(HostBlockId id) {
  Block& b = block(id);
  CHECK(b.n_pins > 0);
  if (--b.n_pins == 0) settle(id);
}

// Sets the state of a block without pins by whether it is valid or bad.
void HostTier::settle(HostBlockId id) {
  Block& b = block(id);
  if (b.is_valid) {
    set_state(id, HostBlockState::kCached);
  } else if (b.is_bad) {
    set_state(id, HostBlockState::kQuarantined);
    b.until_step = step_ + kQuarantineSteps;
    quarantined_.push_back(raw(id));
  } else {
    set_state(id, HostBlockState::kFree);
    free_.push_back(raw(id));
  }
}

void HostTier::quarantine(HostBlockId id) {
  if (!block(id).is_valid) return;
  ++n_quarantined_;
  invalidate(id, /*is_bad=*/true);
}

void HostTier::invalidate(HostBlockId id, bool is_bad) {
  if (!block(id).is_valid) return;
  unlink(id);
  block(id).is_bad = is_bad;
  if (block(id).n_pins == 0) settle(id);
}

int32_t HostTier::clear(const std::function<bool(uint64_t key_hash, int32_t tenant)>& wanted) {
  int32_t n_cleared = 0;
  for (int32_t i = 0; i < n_blocks_total(); ++i) {
    const HostBlockId id{i};
    const Block& b = block(id);
    if (b.state != HostBlockState::kCached) continue;
    if (wanted && !wanted(b.key_hash, b.tenant)) continue;
    invalidate(id, /*is_bad=*/false);
    ++n_cleared;
  }
  return n_cleared;
}

int HostTier::check_invariants() const {
  std::array<int32_t, kNHostBlockStates> n_counted{};
  int32_t n_valid = 0;
  for (int32_t i = 0; i < n_blocks_total(); ++i) {
    const HostBlockId id{i};
    const Block& b = block(id);
    ++n_counted[static_cast<size_t>(b.state)];
    n_valid += b.is_valid;
    if ((b.n_pins > 0) != (b.state == HostBlockState::kPinned)) return 2;
    if (b.is_valid && find(b.parent, b.key, b.hash, tokens(id)) != id) return 2;
    if ((b.is_valid && b.n_pins == 0) != (b.state == HostBlockState::kCached)) return 3;
  }
  if (n_counted != n_by_state_) return 1;
  if (static_cast<int32_t>(free_.size()) != n_blocks(HostBlockState::kFree)) return 1;
  if (static_cast<int32_t>(quarantined_.size()) != n_blocks(HostBlockState::kQuarantined)) return 1;
  int32_t n_linked = 0;
  for (int32_t first : buckets_) {
    for (int32_t i = first; i >= 0; i = blocks_[static_cast<size_t>(i)].next_in_bucket) ++n_linked;
  }
  if (n_linked != n_valid) return 2;
  return static_cast<int32_t>(order_.size()) == n_blocks(HostBlockState::kCached) ? 0 : 3;
}

}  // namespace lockstep
