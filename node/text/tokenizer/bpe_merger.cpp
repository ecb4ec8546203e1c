#include "node/text/tokenizer/bpe_merger.h"

#include <algorithm>
#include <functional>

#include "common/hash64.h"
#include "common/text/utf8.h"
#include "node/text/tokenizer/byte_alphabet.h"

namespace lockstep {
namespace {

size_t hash_pair(int32_t left, int32_t right) {
  uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32;
  key |= static_cast<uint32_t>(right);
  return mix64(key);
}

int32_t find_token(const TokenIndex& index, std::string_view spelling) {
  const auto found = index.find(spelling);
  return found == index.end() ? -1 : found->second;
}

}  // namespace

Result<BpeMerger::Merge> BpeMerger::parse_merge(std::string_view text, size_t rank,
                                                const TokenIndex& index) const {
  const auto fail = [&](const std::string& why) {
    return Error{ErrorCode::kModelLoadFailed,
                 "merge " + std::to_string(rank) + " '" + std::string(text) + "' " + why,
                 {}};
  };
  const size_t space = text.find(' ', 1);
  if (space == text.npos || space + 1 == text.size()) return fail("is not two tokens");
  std::string joined(text);
  joined.erase(space, 1);
  const Merge merge = {find_token(index, text.substr(0, space)),
                       find_token(index, text.substr(space + 1)), find_token(index, joined)};
  if (merge.left < 0 || merge.right < 0 || merge.result < 0) {
    return fail("names or makes a token that the vocabulary lacks");
  }
  return merge;
}

Result<BpeMerger> BpeMerger::build(const std::vector<std::string>& merges,
                                   const TokenIndex& index) {
  BpeMerger merger;
  for (int byte = 0; byte < 256; ++byte) {
    std::string letter;
    utf8::append(byte_to_letter(static_cast<uint8_t>(byte)), letter);
    merger.byte_ids_[byte] = find_token(index, letter);
  }
  size_t n_slots = 16;
  while (n_slots < 2 * merges.size()) n_slots *= 2;
  merger.slots_.assign(n_slots, 0);
  merger.merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    TRY(const Merge merge, merger.parse_merge(merges[rank], rank, index));
    merger.merges_.push_back(merge);
    merger.insert(static_cast<uint32_t>(rank));
  }
  return merger;
}

void BpeMerger::insert(uint32_t rank) {
  const Merge& merge = merges_[rank];
  if (rank_of(merge.left, merge.right) >= 0) return;  // a merge listed twice keeps its better rank
  size_t slot = hash_pair(merge.left, merge.right) & (slots_.size() - 1);
  while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = rank + 1;
}

int64_t BpeMerger::rank_of(int32_t left, int32_t right) const {
  size_t slot = hash_pair(left, right) & (slots_.size() - 1);
  for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1)) {
    const Merge& merge = merges_[slots_[slot] - 1];
    if (merge.left == left && merge.right == right) return slots_[slot] - 1;
  }
  return -1;
}

// Pushes the pair that begins at symbol `left` on the heap, if the pair merges.
void BpeMerger::offer(int32_t left, Scratch& scratch) const {
  const int32_t right = left < 0 ? -1 : scratch.symbols[left].next;
  if (right < 0) return;
  const int64_t rank = rank_of(scratch.symbols[left].id, scratch.symbols[right].id);
  if (rank < 0) return;
  scratch.heap.push_back(static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(left));
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
}

void BpeMerger::merge(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  auto& symbols = scratch.symbols;
  const auto n = static_cast<int32_t>(piece.size());
  symbols.clear();
  scratch.heap.clear();
  for (int32_t i = 0; i < n; ++i) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(piece[i])];
    symbols.push_back({id, i - 1, i + 1 < n ? i + 1 : -1});
  }
  for (int32_t i = 0; i + 1 < n; ++i) offer(i, scratch);

  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
    const uint64_t best = scratch.heap.back();
    scratch.heap.pop_back();
    const Merge& merge = merges_[best >> 32];
    const auto left = static_cast<int32_t>(best & 0xFFFFFFFFu);
    const int32_t right = symbols[left].next;
    // Either symbol may have been merged since the pair was pushed.
    if (symbols[left].id != merge.left || right < 0 || symbols[right].id != merge.right) continue;
    symbols[left].id = merge.result;
    symbols[left].next = symbols[right].next;
    symbols[right].id = kNoToken;
    if (symbols[left].next >= 0) symbols[symbols[left].next].prev = left;
    offer(symbols[left].prev, scratch);
    offer(left, scratch);
  }
  for (int32_t i = 0; i >= 0 && i < n; i = symbols[i].next) {
    if (symbols[i].id != kNoToken) ids.push_back(symbols[i].id);
  }
}

}  // namespace lockstep
