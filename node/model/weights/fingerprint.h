// The numerics fingerprint of a node: nodes with equal fingerprints give equal tokens, whatever
// their tensor-parallel size. Weights are hashed while they are read, for each tensor in units; a
// unit is a part of a tensor that is never split between ranks (docs/numerics.md, section 7).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "node/model/model_file.h"
#include "node/text/tokenizer/tokenizer.h"

struct XXH3_state_s;  // xxHash's

namespace lockstep {

// Version of the numerics; raised with every change of docs/numerics.md that changes a bit.
inline constexpr uint32_t kNumericsContract = 2;
// Version of the text handling; raised when the same tokenizer data gives other ids, text, stops or
// rendered templates.
inline constexpr uint32_t kTextContract = 2;
// Quantised linears sum integers, in the order of the CPU kernels.
inline constexpr std::string_view kBackendClass = "int8-linear";

using Digest128 = std::array<std::byte, 16>;  // XXH3-128, canonical (big endian)

// XXH3-128 of bytes that arrive in pieces.
class Hasher {
 public:
  Hasher();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);  // hashes the length too, so that "ab", "c" != "a", "bc"
  void update_u64(uint64_t value);     // little endian
  Digest128 digest() const;
  void reset();

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

// A tensor of a file, and what it is for.
struct SourceTensor {
  const Tensor* tensor = nullptr;
  const TensorSpec* spec = nullptr;
  int32_t layer = 0;
};

// The digest of one unit of one tensor, as read by one rank.
struct UnitDigest {
  SourceTensor source;
  int32_t unit = 0;
  Digest128 digest{};
};

// Combines the units that all ranks read. Files of different formats with the same weights have the
// same digest, because a tensor counts by what it is for and not by its name or place in the file,
// and a vector as f32. Units read by several ranks count once; throws LoadError if they differ (the
// file changed while it was read). The file must still be open.
Digest128 combine_units(std::vector<UnitDigest> units);

// The fingerprint that /version and hello publish: 32 hexadecimal digits. It covers the weights,
// what else the forward pass reads from the model, the KV dtype, the tokenizer with its template,
// kBackendClass and both contracts.
std::string make_fingerprint(const Digest128& weights, const ModelConfig& model,
                             const TokenizerData& tokenizer, DType kv_dtype);

}  // namespace lockstep
