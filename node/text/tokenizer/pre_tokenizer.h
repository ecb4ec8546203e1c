// PreTokenizer: cuts text into the pieces that byte-pair merges may not cross, by the regular
// expressions of one model family. Immutable after making; any thread.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep {

class PreTokenizer {
 public:
  // `name` as in GGUF's tokenizer.ggml.pre. kModelLoadFailed naming one that is not known: a wrong
  // cut would silently feed the model other tokens than it was trained on.
  static Result<PreTokenizer> make(std::string_view name);
  // Whether a text of this family begins with the bos token where the model's file does not say.
  static bool family_adds_bos(std::string_view name);
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Appends the pieces, in order and without gaps. Bytes that are not UTF-8 are a piece each.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

  // Whether a piece that is a token as it stands is taken whole, whatever the merges would make.
  bool whole_pieces_first() const;

 private:
  struct Impl;
  explicit PreTokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace lockstep
