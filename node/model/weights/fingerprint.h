// The fingerprint: nodes with equal fingerprints give equal tokens, whatever their
// tensor-parallel degree. Weights are hashed while they are read, per tensor and unit; a unit is
// what no rank ever owns half of (docs/numerics.md, section 7).
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

// Raised with every change of a bit anywhere in docs/numerics.md.
inline constexpr uint32_t kNumericsContract = 1;
// Raised when the same tokenizer data gives other ids, text, stops or rendered templates.
inline constexpr uint32_t kTextContract = 2;
// Quantised linears sum integers, in the CPU's order.
inline constexpr std::string_view kBackendClass = "int8-linear";

using Digest128 = std::array<std::byte, 16>;  // XXH3-128, canonical (big endian)

// XXH3-128 of bytes that arrive in pieces.
class Hasher {
 public:
  Hasher();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);  // with its length, so that neighbours do not run together
  void update_u64(uint64_t value);     // little endian
  Digest128 digest() const;
  void reset();

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

// The digest of one unit of one tensor, as one rank has read it.
struct UnitDigest {
  int32_t tensor = 0;  // index in ModelFile::tensors()
  int32_t unit = 0;
  Digest128 digest{};
};

// Combines the units that all ranks read, in file order. Units read by several ranks count once;
// throws LoadError if they differ (the file changed while it was read).
Digest128 combine_units(const ModelFile& file, std::vector<UnitDigest> units);

// What /version and hello publish, 32 hexadecimal digits: of the weights, what else the forward
// pass reads from the model, the KV dtype, the tokenizer with its template, and both contracts.
std::string make_fingerprint(const Digest128& weights, const ModelConfig& model,
                             const TokenizerData& tokenizer, DType kv_dtype);

}  // namespace lockstep
