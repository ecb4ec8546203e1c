// PreTokenizer: cuts text into the pieces that byte-pair merges may not cross, by the regular
// expressions of one model family. Immutable after make(); any thread.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep {

class PreTokenizer {
 public:
  // `name` is the value of GGUF's tokenizer.ggml.pre. kModelLoadFailed, with the name, if it is not
  // known: a wrong cut would silently give the model other tokens than it was trained on.
  static Result<PreTokenizer> make(std::string_view name);
  // Whether a text of this family begins with the bos token if the model file does not say.
  static bool family_adds_bos(std::string_view name);
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Appends the pieces of `text`, in order and without gaps. A byte that is not UTF-8 is a piece.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

  // Whether a piece that is itself a token becomes that token, whatever the merges would give.
  bool whole_pieces_first() const;

 private:
  struct Impl;
  explicit PreTokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace lockstep
