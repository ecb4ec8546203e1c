// What fuzzing does with bytes that may be a GGUF model: open them, and if they are accepted use
// everything that the model lists. Anything but a LoadError or success is a bug.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/check.h"
#include "common/load_error.h"
#include "node/model/files/gguf/gguf_model.h"

namespace lockstep::testing {

// Whether the bytes were accepted as a model.
inline bool open_as_gguf(std::span<const std::byte> bytes) {
  try {
    const GgufModel model(bytes);
    for (const Tensor& tensor : model.tensors()) {
      const auto n_bytes = static_cast<uint64_t>(tensor.bytes());
      CHECK(tensor.file_offset <= bytes.size() && n_bytes <= bytes.size() - tensor.file_offset);
      CHECK(tensor.data == bytes.data() + tensor.file_offset);
      CHECK(model.find(tensor.name) == &tensor);
    }
    const TokenizerData& tokenizer = model.tokenizer();
    CHECK_EQ(static_cast<int64_t>(tokenizer.tokens.size()), model.config().shape.vocab_size);
    CHECK_EQ(tokenizer.types.size(), tokenizer.tokens.size());
    return true;
  } catch (const LoadError&) {
    return false;
  }
}

}  // namespace lockstep::testing
