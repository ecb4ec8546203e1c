#include "bench/gpu/model/random_model.h"

#include <cmath>
#include <cstring>

#include "common/hash64.h"
#include "common/load_error.h"
#include "common/log.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"
#include "node/model/families/family.h"

namespace lockstep::gpu_check {
namespace {

// Words of one tensor's sequence. A hash of a counter: faster than std::mt19937_64 and its
// distributions, whose results differ between standard libraries.
class Words {
 public:
  explicit Words(uint64_t seed) : seed_(mix64(seed + kHash64Odd1)) {}
  uint64_t next() { return mix64(seed_ + ++n_ * kHash64Odd2); }
  float uniform(float low, float high) {
    return low + (high - low) * static_cast<float>(next() >> 40) * 0x1p-24f;
  }

 private:
  const uint64_t seed_;
  uint64_t n_ = 0;
};

// The standard deviation of the type's integers if all of them are equally frequent, and their mean
// for types with a minimum.
struct Quants {
  float deviation, mean;
};
Quants quants_of(WeightType type) {
  switch (type) {
    case WeightType::kQ4_0:
      return {4.6f, 0.0f};
    case WeightType::kQ4_1:
      return {4.6f, 7.5f};
    case WeightType::kQ5_0:
      return {9.2f, 0.0f};
    case WeightType::kQ5_1:
      return {9.2f, 15.5f};
    // Integer scales and minimums of K-quants are random as well.
    case WeightType::kQ4_K:
      return {254.0f, 7.5f};
    case WeightType::kQ5_K:
      return {518.0f, 15.5f};
    case WeightType::kQ6_K:
      return {18.5f * 74.0f, 0.0f};
    default:
      return {74.0f, 0.0f};  // kQ8_0
  }
}

void write_f16(std::byte* to, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(to, &bits, sizeof bits);
}

void fill_blocks(std::byte* bytes, int64_t n_bytes, WeightType type, float deviation,
                 Words& words) {
  for (int64_t at = 0; at < n_bytes; at += 8) {
    const uint64_t word = words.next();
    std::memcpy(bytes + at, &word, static_cast<size_t>(std::min<int64_t>(8, n_bytes - at)));
  }
  const Quants quants = quants_of(type);
  for (int64_t at = 0; at < n_bytes; at += source_block_bytes(type)) {
    const float scale = deviation / quants.deviation * words.uniform(0.5f, 1.5f);
    std::byte* scales = bytes + at + source_scale_offset(type);
    write_f16(scales, scale);
    // dmin of a K-quant is subtracted.
    const float min = is_k_quant(type) ? scale * quants.mean : -scale * quants.mean;
    if (has_min(type)) write_f16(scales + 2, min);
  }
}

void fill_floats(std::byte* bytes, int64_t n, WeightType type, float mean, float deviation,
                 Words& words) {
  const float width = deviation * std::sqrt(3.0f);  // of a uniform distribution, to either side
  for (int64_t i = 0; i < n; ++i) {
    const float value = words.uniform(mean - width, mean + width);
    const uint16_t bits = type == WeightType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
    if (type == WeightType::kF32) {
      std::memcpy(bytes + 4 * i, &value, sizeof value);
    } else {
      std::memcpy(bytes + 2 * i, &bits, sizeof bits);
    }
  }
}

}  // namespace

RandomModel::RandomModel(const RandomModelSpec& spec) : spec_(spec) {
  config_.architecture = spec.architecture;
  const Family& family = family_of(config_);
  config_.name = spec.name;
  config_.shape = spec.shape;
  config_.layers = family.layers(spec.n_layers, /*window=*/0);
  config_.context_length = 4096;
  config_.n_rot = spec.shape.head_dim;
  config_.rope_style = family.rope_style;
  config_.tied_embeddings = spec.tied_embeddings;
  config_.qkv_bias = spec.qkv_bias;
  config_.qk_norm = family.qk_norm;
  for (const TensorSpec& row : family.tensors) {
    const int n = row.layers == Layers::kEach ? spec.n_layers : 1;
    for (int layer = 0; layer < n; ++layer) add(row, layer);
  }
}

void RandomModel::add(const TensorSpec& row, int layer) {
  if (!may_have(config_, row) || row.presence == Presence::kOptional) return;
  const std::string name = row.name_in_gguf(layer);
  const int64_t n_cols = size_of(row.n_cols, config_);
  if (!row.is_vector()) return add_matrix(name, size_of(row.n_rows, config_), n_cols);
  add_vector(name, n_cols, row.presence == Presence::kWithBias ? 0.0f : 1.0f);
}

void RandomModel::add_matrix(const std::string& name, int64_t n_rows, int64_t n_cols) {
  WeightType type = spec_.matrices;
  for (const auto& [part, other] : spec_.types) {
    if (name.find(part) != std::string::npos) type = other;
  }
  const float deviation = 1.5f / std::sqrt(static_cast<float>(n_cols));
  Words words(tensors_.size());
  std::byte* bytes = add(name, type, n_rows, n_cols);
  if (is_quantized(type)) {
    fill_blocks(bytes, tensors_.back().bytes(), type, deviation, words);
  } else {
    fill_floats(bytes, n_rows * n_cols, type, 0.0f, deviation, words);
  }
}

void RandomModel::add_vector(const std::string& name, int64_t n, float mean) {
  Words words(tensors_.size());
  fill_floats(add(name, WeightType::kF32, 1, n), n, WeightType::kF32, mean, 0.1f, words);
}

std::byte* RandomModel::add(const std::string& name, WeightType type, int64_t n_rows,
                            int64_t n_cols) {
  bytes_.emplace_back(static_cast<size_t>(n_rows * source_row_bytes(type, n_cols)));
  tensors_.push_back({name, type, n_rows, n_cols, 0, bytes_.back().data()});
  return bytes_.back().data();
}

const Tensor* RandomModel::find(std::string_view name) const {
  for (const Tensor& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

const Tensor& RandomModel::require(std::string_view name, int64_t n_rows, int64_t n_cols) const {
  const Tensor* tensor = find(name);
  if (tensor == nullptr || tensor->n_rows != n_rows || tensor->n_cols != n_cols) {
    throw LoadError(str("tensor ", name, " is missing or has another shape"));
  }
  return *tensor;
}

}  // namespace lockstep::gpu_check
