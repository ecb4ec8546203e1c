// BpeMerger: byte-pair encoding of one piece of text. Starts from single bytes and joins the pair
// whose merge is listed first, until no neighbours merge; among equals the leftmost pair goes
// first. O(n log n) in the length of the piece. Immutable after build(); any thread, a Scratch
// each.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/result.h"

namespace lockstep {

using TokenIndex = std::unordered_map<std::string_view, int32_t>;  // spelling → id

class BpeMerger {
 public:
  // Working memory of merge(), reused from piece to piece. One call at a time may use it.
  class Scratch {
    friend class BpeMerger;
    struct Symbol {
      int32_t id;          // kNoToken = a byte that the vocabulary cannot spell
      int32_t prev, next;  // neighbours; -1 = none
    };
    std::vector<Symbol> symbols;
    std::vector<uint64_t> heap;  // rank << 32 | index of the left symbol; smallest first
  };

  // `merges`: "left right" in the byte-level alphabet, best first. kModelLoadFailed if a merge is
  // malformed or names a token that `index` does not have.
  static Result<BpeMerger> build(const std::vector<std::string>& merges, const TokenIndex& index);

  // Appends the ids of `piece`. Bytes that the vocabulary cannot spell are left out.
  void merge(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

 private:
  static constexpr int32_t kNoToken = -1;
  struct Merge {
    int32_t left, right, result;
  };

  BpeMerger() = default;
  Result<Merge> parse_merge(std::string_view text, size_t rank, const TokenIndex& index) const;
  void insert(uint32_t rank);
  int64_t rank_of(int32_t left, int32_t right) const;  // -1 = they do not merge
  void offer(int32_t left, Scratch& scratch) const;

  std::array<int32_t, 256> byte_ids_{};
  std::vector<Merge> merges_;    // by rank
  std::vector<uint32_t> slots_;  // open hash table by (left, right): rank + 1, 0 = free
};

}  // namespace lockstep
