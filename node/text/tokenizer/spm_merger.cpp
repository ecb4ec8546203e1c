#include "node/text/tokenizer/spm_merger.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string>

#include "common/text/utf8.h"
#include "node/text/tokenizer/tokenizer_kinds.h"

namespace lockstep {
namespace {

// The byte that a byte token such as <0x0A> names, or -1.
int named_byte(std::string_view token) {
  constexpr std::string_view kBegin = "<0x", kEnd = ">";
  constexpr size_t kDigits = 2;
  if (token.size() != kBegin.size() + kDigits + kEnd.size()) return -1;
  if (!token.starts_with(kBegin) || !token.ends_with(kEnd)) return -1;
  const std::string_view digits = token.substr(kBegin.size(), kDigits);
  int byte = -1;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), byte, 16);
  return error == std::errc() && end == digits.end() && byte >= 0 ? byte : -1;
}

}  // namespace

Result<SpmMerger> SpmMerger::build(const TokenizerData& data) {
  TRY(SpmMerges merges, SpmMerges::build(data));
  SpmMerger merger(std::move(merges));
  merger.unk_id_ = data.unk_id;
  TRY([[maybe_unused]] const Ok bytes, merger.find_bytes(data));
  merger.space_ = merger.merges_.letter_of(utf8::next(kSpmSpace).code_point);
  if (merger.space_ < 0 || !merger.merges_.is_token(merger.space_)) {
    return tokenizer_error("the vocabulary has no token for a space ('" + std::string(kSpmSpace) +
                           "')");
  }
  if (std::count(data.types.begin(), data.types.end(), TokenType::kUnused) > 0) {
    merger.is_unused_.resize(data.types.size());
    for (size_t id = 0; id < data.types.size(); ++id)
      merger.is_unused_[id] = data.types[id] == TokenType::kUnused;
  }
  return merger;
}

Status SpmMerger::find_bytes(const TokenizerData& data) {
  byte_ids_.fill(-1);
  for (size_t id = 0; id < data.types.size(); ++id) {
    if (data.types[id] != TokenType::kByte) continue;
    const int byte = named_byte(data.tokens[id]);
    if (byte < 0) return tokenizer_error("the byte token " + std::to_string(id) + " names no byte");
    byte_ids_[static_cast<size_t>(byte)] = static_cast<int32_t>(id);
  }
  const auto n_missing = std::count(byte_ids_.begin(), byte_ids_.end(), -1);
  has_bytes_ = n_missing == 0;
  if (has_bytes_) return Ok{};
  const auto n_all = static_cast<int64_t>(byte_ids_.size());
  if (n_missing < n_all) {
    return tokenizer_error("the vocabulary has " + std::to_string(n_all - n_missing) + " of the " +
                           std::to_string(n_all) + " byte tokens");
  }
  if (unk_id_ < 0)
    return tokenizer_error("the vocabulary has neither byte tokens nor an unknown token");
  return Ok{};
}

// Pushes the pair that begins at symbol `left` on the heap, if the pair merges.
void SpmMerger::offer(int32_t left, Scratch& scratch) const {
  if (left < 0) return;
  auto& symbol = scratch.word[static_cast<size_t>(left)];
  symbol.merged = SpmMerges::kNone;
  if (symbol.next < 0) return;
  const int32_t right = scratch.word[static_cast<size_t>(symbol.next)].id;
  symbol.merged = merges_.merged(symbol.id, right);
  if (symbol.merged == SpmMerges::kNone) return;
  scratch.heap.push_back(uint64_t{merges_.rank(symbol.merged)} << 32 | static_cast<uint32_t>(left));
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
  if (is_unused_.empty() || !is_unused_[static_cast<size_t>(symbol.merged)]) return;
  scratch.splits[symbol.merged] = {symbol.id, right};
}

// Takes the best pair from the heap and merges it.
void SpmMerger::merge_best(Scratch& scratch) const {
  std::pop_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
  const uint64_t best = scratch.heap.back();
  scratch.heap.pop_back();
  const auto at = static_cast<int32_t>(best & 0xFFFFFFFFu);
  auto& left = scratch.word[static_cast<size_t>(at)];
  // Either symbol may have been merged since the pair was pushed. The pair of now is as good if its
  // rank is the same.
  if (left.merged == SpmMerges::kNone || merges_.rank(left.merged) != best >> 32) return;
  auto& right = scratch.word[static_cast<size_t>(left.next)];
  left.id = left.merged;
  left.next = right.next;
  right.id = right.merged = SpmMerges::kNone;
  if (left.next >= 0) scratch.word[static_cast<size_t>(left.next)].prev = at;
  offer(left.prev, scratch);
  offer(at, scratch);
}

// Merges the letters of scratch.word and takes them away.
void SpmMerger::merge_word(Scratch& scratch, Output& out) const {
  auto& word = scratch.word;
  const auto n = static_cast<int32_t>(word.size());
  scratch.heap.clear();
  if (!scratch.splits.empty()) scratch.splits.clear();
  for (int32_t i = 0; i < n; ++i) {
    word[static_cast<size_t>(i)].prev = i - 1;
    word[static_cast<size_t>(i)].next = i + 1 < n ? i + 1 : -1;
  }
  for (int32_t i = 0; i + 1 < n; ++i) offer(i, scratch);
  while (!scratch.heap.empty()) merge_best(scratch);
  for (int32_t i = 0; i >= 0 && i < n; i = word[static_cast<size_t>(i)].next) {
    add(word[static_cast<size_t>(i)].id, scratch, out);
  }
  word.clear();
}

// An unused token is never the result: it becomes the parts that it was merged from, as in
// SentencePiece.
void SpmMerger::add(int32_t symbol, Scratch& scratch, Output& out) const {
  if (scratch.splits.empty()) return add_whole(symbol, out);
  auto& parts = scratch.parts;
  parts.assign(1, symbol);
  while (!parts.empty()) {
    const int32_t part = parts.back();
    parts.pop_back();
    const auto split = scratch.splits.find(part);
    if (split == scratch.splits.end()) {
      add_whole(part, out);
    } else {
      parts.push_back(split->second.second);
      parts.push_back(split->second.first);
    }
  }
}

void SpmMerger::add_whole(int32_t symbol, Output& out) const {
  if (merges_.is_token(symbol)) return out.ids.push_back(symbol);
  add_bytes(merges_.letter_text(symbol), out);
}

void SpmMerger::add_bytes(std::string_view bytes, Output& out) const {
  if (has_bytes_) {
    for (const char byte : bytes) out.ids.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
    return;
  }
  const bool continues = out.ids.size() > out.begin && out.ids.back() == unk_id_;
  if (!continues) out.ids.push_back(unk_id_);
}

void SpmMerger::merge(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  auto& word = scratch.word;
  word.clear();
  Output out{ids, ids.size()};
  while (!text.empty()) {
    const auto first = static_cast<uint8_t>(text[0]);
    const utf8::Step step =
        first < 0x80 ? utf8::Step{utf8::State::kChar, 1, first} : utf8::next(text);
    const bool is_char = step.state == utf8::State::kChar;
    const int32_t letter = first == ' ' ? space_
                           : is_char    ? merges_.letter_of(step.code_point)
                                        : SpmMerges::kNone;
    const bool joins =
        letter != SpmMerges::kNone && !word.empty() && merges_.may_join(word.back().id, letter);
    if (!joins) merge_word(scratch, out);
    if (letter != SpmMerges::kNone) {
      word.push_back({letter, -1, -1, SpmMerges::kNone});
    } else {
      add_bytes(text.substr(0, step.n_bytes), out);
    }
    text.remove_prefix(step.n_bytes);
  }
  merge_word(scratch, out);
}

}  // namespace lockstep
