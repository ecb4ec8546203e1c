#include "node/model/weights/fingerprint.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <tuple>

#include "common/load_error.h"
#include "common/log.h"
#include "node/model/families/tensor_spec.h"

namespace lockstep {

void Hasher::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

Hasher::Hasher() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  reset();
}

void Hasher::reset() { XXH3_128bits_reset(state_.get()); }

void Hasher::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

void Hasher::update(std::string_view text) {
  update_u64(text.size());
  update(std::as_bytes(std::span(text)));
}

void Hasher::update_u64(uint64_t value) {
  std::array<std::byte, 8> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  update(bytes);
}

Digest128 Hasher::digest() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
  Digest128 digest;
  static_assert(sizeof(canonical) == sizeof(digest));
  std::memcpy(digest.data(), &canonical, sizeof(digest));
  return digest;
}

namespace {

void add_layer(const LayerConfig& layer, Hasher& hasher) {
  const auto& [window, rotates] = layer;
  hasher.update_u64(static_cast<uint64_t>(window));
  hasher.update_u64(rotates ? 1 : 0);
}

// Hashes what the forward pass reads from the model beside the weights. Every member is named, so
// that a new one does not compile until somebody decides. Not hashed: the name and the context
// length, which change no token, and what the names and shapes of the weights tell.
void add_forward(const ModelConfig& model, Hasher& hasher) {
  const auto& [architecture, name, shape, layers, context_length, rms_eps, rope_theta, n_rot,
               rope_style, rope_freq_divisors, tied_embeddings, qkv_bias, qk_norm] = model;
  hasher.update(architecture);
  hasher.update_u64(static_cast<uint64_t>(shape.n_heads));
  hasher.update_u64(static_cast<uint64_t>(shape.n_kv_heads));
  hasher.update_u64(std::bit_cast<uint32_t>(rms_eps));
  hasher.update_u64(std::bit_cast<uint64_t>(rope_theta));
  hasher.update_u64(static_cast<uint64_t>(n_rot));
  hasher.update_u64(rope_style == RopeStyle::kNeighbours ? 1 : 0);
  hasher.update_u64(rope_freq_divisors.size());
  for (float divisor : rope_freq_divisors) hasher.update_u64(std::bit_cast<uint32_t>(divisor));
  for (const LayerConfig& layer : layers) add_layer(layer, hasher);
}

// Hashes what determines the ids of a text, the text of ids, and where an answer ends: every
// member, by name, so that a new one does not compile until somebody adds it.
void add_text(const TokenizerData& tokenizer, Hasher& hasher) {
  const auto& [model, pre, tokens, types, merges, scores, add_space_prefix,
               remove_extra_whitespaces, rstrip_ids, bos_id, eos_id, unk_id, pad_id, extra_eog_ids,
               add_bos, chat_template] = tokenizer;
  hasher.update(model);
  hasher.update(pre);
  hasher.update(chat_template);
  for (const auto* strings : {&tokens, &merges}) {
    hasher.update_u64(strings->size());
    for (const std::string& text : *strings) hasher.update(std::string_view(text));
  }
  for (const TokenType type : types) hasher.update_u64(static_cast<uint64_t>(type));
  for (const int32_t id : {bos_id, eos_id, unk_id, pad_id}) {
    hasher.update_u64(static_cast<uint32_t>(id));
  }
  for (const auto* ids : {&extra_eog_ids, &rstrip_ids}) {
    hasher.update_u64(ids->size());
    for (const int32_t id : *ids) hasher.update_u64(static_cast<uint32_t>(id));
  }
  hasher.update_u64(scores.size());
  for (const float score : scores) hasher.update_u64(std::bit_cast<uint32_t>(score));
  for (const bool flag : {add_bos, add_space_prefix, remove_extra_whitespaces}) {
    hasher.update_u64(flag ? 1 : 0);
  }
}

// GGUF's names stand for what a tensor is for, in a file of any format.
void add_tensor(const SourceTensor& source, Hasher& hasher) {
  const Tensor& tensor = *source.tensor;
  hasher.update(source.spec->name_in_gguf(source.layer));
  hasher.update(to_string(source.spec->is_vector() ? WeightType::kF32 : tensor.type));
  hasher.update_u64(static_cast<uint64_t>(tensor.n_rows));
  hasher.update_u64(static_cast<uint64_t>(tensor.n_cols));
}

}  // namespace

Digest128 combine_units(std::vector<UnitDigest> units) {
  const auto place = [](const UnitDigest& unit) {
    return std::tuple(unit.source.layer, unit.source.spec->gguf_name, unit.unit);
  };
  std::sort(units.begin(), units.end(),
            [place](const UnitDigest& a, const UnitDigest& b) { return place(a) < place(b); });
  Hasher hasher;
  const UnitDigest* previous = nullptr;
  for (const UnitDigest& unit : units) {
    const Tensor& tensor = *unit.source.tensor;
    const bool same_tensor = previous != nullptr && previous->source.tensor == &tensor;
    if (same_tensor && previous->unit == unit.unit) {
      if (previous->digest != unit.digest) {
        throw LoadError(str("tensor ", tensor.name, " changed while it was read"));
      }
      continue;
    }
    if (!same_tensor) add_tensor(unit.source, hasher);
    hasher.update(unit.digest);
    previous = &unit;
  }
  return hasher.digest();
}

std::string make_fingerprint(const Digest128& weights, const ModelConfig& model,
                             const TokenizerData& tokenizer, DType kv_dtype) {
  Hasher hasher;
  hasher.update_u64(kNumericsContract);
  hasher.update(kBackendClass);
  hasher.update(weights);
  hasher.update_u64(static_cast<uint64_t>(kv_dtype));
  add_forward(model, hasher);
  hasher.update_u64(kTextContract);
  add_text(tokenizer, hasher);
  std::string text;
  for (std::byte b : hasher.digest()) {
    for (int shift : {4, 0}) text += "0123456789abcdef"[std::to_integer<int>(b) >> shift & 15];
  }
  return text;
}

}  // namespace lockstep
