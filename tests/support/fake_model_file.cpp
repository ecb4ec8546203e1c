#include "tests/support/fake_model_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/load_error.h"
#include "common/log.h"
#include "common/units.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"
#include "node/model/families/family.h"

namespace lockstep::testing {

namespace {

// Random quants and signs within the block's range. Scale and minimum are chosen so that the values
// are centred and have a magnitude of about sigma.
template <class Block>
Block random_block(float sigma, float range, float centre, SeededRandom& random) {
  Block block;
  auto* raw = reinterpret_cast<uint8_t*>(&block);
  for (size_t i = 0; i < sizeof(block); ++i) raw[i] = static_cast<uint8_t>(random.integer(0, 255));
  const float scale = sigma / range * static_cast<float>(random.integer(5, 15)) / 10.0f;
  if constexpr (requires { block.d; }) {
    // Integer scales and minimums are random like the quants, and of equal mean.
    block.d = f32_to_f16(scale);
    if constexpr (requires { block.dmin; }) block.dmin = f32_to_f16(scale * centre);
  } else {
    block.scale = f32_to_f16(scale);
    if constexpr (requires { block.min; }) block.min = f32_to_f16(-scale * centre);
  }
  return block;
}

template <class Block>
void fill_blocks(std::vector<std::byte>& bytes, float sigma, float range, float centre,
                 SeededRandom& random) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(Block)) {
    const Block block = random_block<Block>(sigma, range, centre, random);
    std::memcpy(bytes.data() + at, &block, sizeof(block));
  }
}

template <class T, class Narrow>
void fill_floats(std::vector<std::byte>& bytes, float sigma, SeededRandom& random, Narrow narrow) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(T)) {
    const T value = narrow(random.normal(sigma));
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }
}

}  // namespace

std::vector<std::byte> random_weights(WeightType type, int64_t n, float sigma,
                                      SeededRandom& random) {
  std::vector<std::byte> bytes(static_cast<size_t>(source_row_bytes(type, n)));
  switch (type) {
    case WeightType::kF32:
      fill_floats<float>(bytes, sigma, random, [](float x) { return x; });
      break;
    case WeightType::kF16:
      fill_floats<uint16_t>(bytes, sigma, random, f32_to_f16);
      break;
    case WeightType::kBF16:
      fill_floats<uint16_t>(bytes, sigma, random, f32_to_bf16);
      break;
    case WeightType::kQ8_0:
      fill_blocks<BlockQ8_0>(bytes, sigma, 74.0f, 0.0f, random);
      break;
    case WeightType::kQ4_0:
      fill_blocks<BlockQ4_0>(bytes, sigma, 4.6f, 0.0f, random);
      break;
    case WeightType::kQ4_1:
      fill_blocks<BlockQ4_1>(bytes, sigma, 4.6f, 7.5f, random);
      break;
    case WeightType::kQ5_0:
      fill_blocks<BlockQ5_0>(bytes, sigma, 9.2f, 0.0f, random);
      break;
    case WeightType::kQ5_1:
      fill_blocks<BlockQ5_1>(bytes, sigma, 9.2f, 15.5f, random);
      break;
    case WeightType::kQ4_K:
      fill_blocks<SuperQ4_K>(bytes, sigma, 254.0f, 7.5f, random);
      break;
    case WeightType::kQ5_K:
      fill_blocks<SuperQ5_K>(bytes, sigma, 518.0f, 15.5f, random);
      break;
    case WeightType::kQ6_K:
      fill_blocks<SuperQ6_K>(bytes, sigma, 18.5f * 74.0f, 0.0f, random);
      break;
  }
  return bytes;
}

FakeModelFile::FakeModelFile(const FakeModelSpec& spec) : spec_(spec) {
  const ModelShape& shape = spec.shape;
  config_.architecture = spec.architecture;
  config_.name = "fake";
  config_.shape = shape;
  const Family& family = family_of(config_);
  config_.layers = family.layers(spec.n_layers, spec.window);
  config_.qk_norm = family.qk_norm;
  config_.context_length = 4096;
  config_.n_rot = shape.head_dim;
  config_.rope_style = family.rope_style;
  config_.tied_embeddings = spec.tied_embeddings;
  config_.qkv_bias = spec.qkv_bias;

  SeededRandom random(spec.seed);
  add_model_tensors(true, random);
  for (int layer = 0; layer < spec.n_layers; ++layer) {
    for (const TensorSpec& row : family.tensors) {
      if (row.layers == Layers::kEach) add(row, layer, random);
    }
  }
  add_model_tensors(false, random);
}

// The embedding stands before the layers, everything else behind them.
void FakeModelFile::add_model_tensors(bool embedding, SeededRandom& random) {
  for (const TensorSpec& row : family_of(config_).tensors) {
    if (row.layers == Layers::kNone && (row.role == TensorRole::kEmbedding) == embedding)
      add(row, 0, random);
  }
}

void FakeModelFile::add(const TensorSpec& row, int layer, SeededRandom& random) {
  if (!may_have(config_, row) || row.presence == Presence::kOptional) return;
  const std::string name = row.name_in_gguf(layer);
  const int64_t n_rows = size_of(row.n_rows, config_), n_cols = size_of(row.n_cols, config_);
  if (!row.is_vector()) return add(name, n_rows, n_cols, random);
  const bool is_bias = row.presence == Presence::kWithBias;
  add_vector(name, n_cols, is_bias ? 0.0f : 1.0f, random);
}

void FakeModelFile::add(const std::string& name, int64_t n_rows, int64_t n_cols,
                        SeededRandom& random) {
  const WeightType type = type_of(name);
  const float sigma = 1.5f / std::sqrt(static_cast<float>(n_cols));
  // A row may end inside a super-block, which no row of a file does.
  const int64_t n = n_rows * round_up(n_cols, is_quantized(type) ? source_block_len(type) : 1);
  append(name, type, n_rows, n_cols, random_weights(type, n, sigma, random));
}

void FakeModelFile::add_vector(const std::string& name, int64_t n, float mean,
                               SeededRandom& random) {
  std::vector<std::byte> bytes(static_cast<size_t>(n) * sizeof(float));
  fill_floats<float>(bytes, 0.1f, random, [mean](float x) { return mean + x; });
  append(name, WeightType::kF32, 1, n, std::move(bytes));
}

WeightType FakeModelFile::type_of(const std::string& name) const {
  for (const auto& [part, type] : spec_.types) {
    if (name.find(part) != std::string::npos) return type;
  }
  return spec_.matrices;
}

void FakeModelFile::append(const std::string& name, WeightType type, int64_t n_rows, int64_t n_cols,
                           std::vector<std::byte> bytes) {
  Tensor tensor;
  tensor.name = name;
  tensor.type = type;
  tensor.n_rows = n_rows;
  tensor.n_cols = n_cols;
  tensor.file_offset = static_cast<uint64_t>(this->bytes());
  tensor.data = bytes.data();
  tensors_.push_back(tensor);
  bytes_.push_back(std::move(bytes));
}

const Tensor* FakeModelFile::find(std::string_view name) const {
  const auto it = std::find_if(tensors_.begin(), tensors_.end(),
                               [&](const Tensor& tensor) { return tensor.name == name; });
  return it == tensors_.end() ? nullptr : &*it;
}

const Tensor& FakeModelFile::require(std::string_view name, int64_t n_rows, int64_t n_cols) const {
  const Tensor* tensor = find(name);
  if (tensor == nullptr) throw LoadError(str("tensor ", name, " is missing"));
  if (tensor->n_rows != n_rows || tensor->n_cols != n_cols) {
    throw LoadError(str("tensor ", name, " has the wrong shape"));
  }
  return *tensor;
}

void FakeModelFile::release(const std::byte*, int64_t bytes) const { bytes_released_ += bytes; }

std::span<std::byte> FakeModelFile::bytes_of(std::string_view name) {
  return bytes_[static_cast<size_t>(find(name) - tensors_.data())];
}

void FakeModelFile::remove(std::string_view name) {
  const auto at = find(name) - tensors_.data();
  tensors_.erase(tensors_.begin() + at);
  bytes_.erase(bytes_.begin() + at);
}

int64_t FakeModelFile::bytes() const {
  int64_t sum = 0;
  for (const auto& bytes : bytes_) sum += static_cast<int64_t>(bytes.size());
  return sum;
}

}  // namespace lockstep::testing
