// PieceCache: the token ids of pieces of text that were tokenised before, such as the earlier
// messages of a conversation. A piece lies between two special tokens, so its ids do not depend on
// the text around it. Tokenizers share the cache, each under an id of its own. Bounded in bytes;
// the piece that was not used for the longest time goes first. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lockstep {

class PieceCache {
 public:
  // For shorter pieces the lookup takes as long as tokenising.
  static constexpr size_t kMinPieceBytes = 64;

  explicit PieceCache(size_t n_bytes_max) : n_bytes_max_(n_bytes_max) {}

  // An id that no other caller gets.
  uint64_t new_tokenizer_id();

  // Appends the ids of the piece, if they are here.
  bool find(uint64_t tokenizer, std::string_view piece, std::vector<int32_t>& ids);
  // A piece that would take more than a sixteenth of the cache is not kept.
  void add(uint64_t tokenizer, std::string_view piece, const int32_t* ids, size_t n_ids);

  size_t n_bytes() const;

 private:
  struct Entry {
    uint64_t tokenizer;
    uint64_t hash;
    std::string piece;
    std::vector<int32_t> ids;
  };
  using Entries = std::list<Entry>;  // the one used last comes first

  static uint64_t hash_of(uint64_t tokenizer, std::string_view piece);
  static size_t bytes_of(const Entry& entry);
  Entries::iterator find_locked(uint64_t hash, uint64_t tokenizer, std::string_view piece);
  void make_room_locked(size_t n_bytes);

  const size_t n_bytes_max_;
  mutable std::mutex mutex_;
  // guarded by mutex_
  Entries entries_;
  std::unordered_map<uint64_t, Entries::iterator> by_hash_;  // pieces of one hash: the last one
  size_t n_bytes_ = 0;
  uint64_t n_tokenizers_ = 0;
};

}  // namespace lockstep
