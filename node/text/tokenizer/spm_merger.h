// SpmMerger: the byte-pair encoding of SentencePiece, over whole texts. It starts from single
// characters and joins the pair whose token has the highest score, until no neighbours merge; among
// equals the leftmost pair goes first. Characters that end up in no token become the tokens of
// their bytes, or one unknown token a run. A text is cut where no token has the two characters side
// by side, so that most words are merged alone; the ids are the same. O(n log n) in the length of
// the text. Immutable after build(); any thread, a Scratch each.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/result.h"
#include "node/text/tokenizer/spm_merges.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

inline constexpr std::string_view kSpmSpace = "\xE2\x96\x81";  // U+2581, stands for a space

class SpmMerger {
 public:
  // Working memory of merge(), reused from text to text. One call at a time may use it.
  class Scratch {
    friend class SpmMerger;
    struct Symbol {
      int32_t id;          // SpmMerges::kNone = merged into the symbol before it
      int32_t prev, next;  // neighbours; -1 = none
      int32_t merged;      // what it becomes with the next one; kNone = they do not merge
    };
    std::vector<Symbol> word;
    std::vector<uint64_t> heap;  // rank << 32 | index of the left symbol; smallest first
    std::unordered_map<int32_t, std::pair<int32_t, int32_t>> splits;  // unused token → its parts
    std::vector<int32_t> parts;
  };

  // Errors, all kModelLoadFailed: those of SpmMerges; a vocabulary without the token of a space; a
  // byte token that names no byte; some byte tokens but not all 256; neither byte tokens nor an
  // unknown token.
  static Result<SpmMerger> build(const TokenizerData& data);

  // Appends the ids of `text`. Bytes that are not UTF-8 are encoded one by one.
  void merge(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;

  // Whether each byte has a token, for the characters that end up in no other token.
  bool has_bytes() const { return has_bytes_; }
  int32_t byte_id(uint8_t byte) const { return byte_ids_[byte]; }

 private:
  // The ids of one text, which begin behind those that were in the vector before.
  struct Output {
    std::vector<int32_t>& ids;
    size_t begin;
  };

  explicit SpmMerger(SpmMerges merges) : merges_(std::move(merges)) {}
  Status find_bytes(const TokenizerData& data);
  void offer(int32_t left, Scratch& scratch) const;
  void merge_best(Scratch& scratch) const;
  void merge_word(Scratch& scratch, Output& out) const;
  void add(int32_t symbol, Scratch& scratch, Output& out) const;
  void add_whole(int32_t symbol, Output& out) const;
  void add_bytes(std::string_view bytes, Output& out) const;

  // Constant after build().
  SpmMerges merges_;
  std::array<int32_t, 256> byte_ids_{};
  bool has_bytes_ = false;
  int32_t unk_id_ = -1;
  int32_t space_ = -1;           // the token of kSpmSpace
  std::vector<bool> is_unused_;  // [vocab_size], or empty if no token is of the type unused
};

}  // namespace lockstep
