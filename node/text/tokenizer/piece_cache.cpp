#include "node/text/tokenizer/piece_cache.h"

#include <xxhash.h>

#include <utility>

namespace lockstep {
namespace {

// Estimate of the bytes of an entry beside its text and ids: nodes of the list and of the table.
constexpr size_t kEntryBytes = 160;
constexpr size_t kMaxShare = 16;

}  // namespace

uint64_t PieceCache::new_tokenizer_id() {
  std::lock_guard lock(mutex_);
  return n_tokenizers_++;
}

uint64_t PieceCache::hash_of(uint64_t tokenizer, std::string_view piece) {
  return XXH3_64bits_withSeed(piece.data(), piece.size(), tokenizer);
}

size_t PieceCache::bytes_of(const Entry& entry) {
  return kEntryBytes + entry.piece.capacity() + entry.ids.capacity() * sizeof(int32_t);
}

// The bytes decide: a hash is not secret, and other ids would be another prompt.
PieceCache::Entries::iterator PieceCache::find_locked(uint64_t hash, uint64_t tokenizer,
                                                      std::string_view piece) {
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return entries_.end();
  const Entry& entry = *found->second;
  return entry.tokenizer == tokenizer && entry.piece == piece ? found->second : entries_.end();
}

bool PieceCache::find(uint64_t tokenizer, std::string_view piece, std::vector<int32_t>& ids) {
  const uint64_t hash = hash_of(tokenizer, piece);
  std::lock_guard lock(mutex_);
  const auto found = find_locked(hash, tokenizer, piece);
  if (found == entries_.end()) return false;
  entries_.splice(entries_.begin(), entries_, found);
  ids.insert(ids.end(), found->ids.begin(), found->ids.end());
  return true;
}

void PieceCache::add(uint64_t tokenizer, std::string_view piece, const int32_t* ids, size_t n_ids) {
  Entry entry{tokenizer, hash_of(tokenizer, piece), std::string(piece),
              std::vector<int32_t>(ids, ids + n_ids)};
  const size_t n_bytes = bytes_of(entry);
  if (n_bytes > n_bytes_max_ / kMaxShare) return;
  std::lock_guard lock(mutex_);
  const auto same_hash = by_hash_.find(entry.hash);
  if (same_hash != by_hash_.end()) {  // added by another thread meanwhile, or another piece
    n_bytes_ -= bytes_of(*same_hash->second);
    entries_.erase(same_hash->second);
    by_hash_.erase(same_hash);
  }
  make_room_locked(n_bytes);
  const uint64_t hash = entry.hash;
  entries_.push_front(std::move(entry));
  by_hash_[hash] = entries_.begin();
  n_bytes_ += n_bytes;
}

void PieceCache::make_room_locked(size_t n_bytes) {
  while (!entries_.empty() && n_bytes_ + n_bytes > n_bytes_max_) {
    n_bytes_ -= bytes_of(entries_.back());
    by_hash_.erase(entries_.back().hash);
    entries_.pop_back();
  }
}

size_t PieceCache::n_bytes() const {
  std::lock_guard lock(mutex_);
  return n_bytes_;
}

}  // namespace lockstep
