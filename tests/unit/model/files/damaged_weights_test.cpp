// A NaN or an infinity in any tensor of any type, in any rank's shard, is found by the loader.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "common/load_error.h"
#include "common/log.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"
#include "node/model/weights/weights.h"
#include "tests/support/cpu_device.h"
#include "tests/support/fake_model_file.h"

namespace lockstep {
namespace {

using testing::FakeModelFile;
using testing::FakeModelSpec;

constexpr WeightType kAllTypes[] = {WeightType::kF32,  WeightType::kF16,  WeightType::kBF16,
                                    WeightType::kQ8_0, WeightType::kQ4_0, WeightType::kQ4_1,
                                    WeightType::kQ5_0, WeightType::kQ5_1, WeightType::kQ4_K,
                                    WeightType::kQ5_K, WeightType::kQ6_K};
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// A model with every role that a tensor can have: untied head, biases, two layers.
FakeModelSpec spec_of(WeightType type) {
  FakeModelSpec spec;
  spec.shape = {.hidden_dim = 64,
                .n_heads = 8,
                .n_kv_heads = 4,
                .head_dim = 32,
                .ffn_dim = 256,
                .vocab_size = 70};
  spec.qkv_bias = true;
  spec.tied_embeddings = false;
  spec.matrices = type;
  return spec;
}

// The load errors of all ranks, joined; empty if all ranks loaded.
std::vector<std::string> refusals(const FakeModelFile& file, int n_ranks) {
  std::vector<std::string> said;
  const ShardPlan plan = make_shard_plan(file.config().shape, n_ranks).value();
  for (int rank = 0; rank < n_ranks; ++rank) {
    MemoryLedger ledger;
    try {
      load_weights(file, plan, rank, testing::cpu_device(), testing::cpu_stream(), ledger);
    } catch (const LoadError& error) {
      said.emplace_back(error.what());
    }
  }
  return said;
}

void write_number(WeightType type, std::byte* to, float value) {
  const uint16_t half = type == WeightType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value);
  if (type == WeightType::kF32) {
    std::memcpy(to, &value, sizeof value);
  } else {
    std::memcpy(to, &half, sizeof half);
  }
}

// The first and last number of each kind: byte offsets in the tensor.
std::vector<size_t> number_offsets(const Tensor& tensor) {
  const auto n_bytes = static_cast<size_t>(tensor.bytes());
  if (!is_quantized(tensor.type)) {
    const auto size = static_cast<size_t>(float_bytes(tensor.type));
    return {0, n_bytes / 2 / size * size, n_bytes - size};
  }
  const auto block = static_cast<size_t>(source_block_bytes(tensor.type));
  const auto scale = static_cast<size_t>(source_scale_offset(tensor.type));
  std::vector<size_t> offsets = {scale, n_bytes / 2 / block * block + scale,
                                 n_bytes - block + scale};
  if (has_min(tensor.type)) offsets.insert(offsets.end(), {scale + 2, n_bytes - block + scale + 2});
  return offsets;
}

void expect_refused_at(FakeModelFile& file, const Tensor& tensor, size_t at, float value,
                       int n_ranks) {
  std::byte* place = file.bytes_of(tensor.name).data() + at;
  std::byte before[4];
  const size_t size = tensor.type == WeightType::kF32 ? 4 : 2;
  std::memcpy(before, place, size);
  write_number(tensor.type, place, value);
  const std::vector<std::string> said = refusals(file, n_ranks);
  std::memcpy(place, before, size);
  const std::string where =
      str("tensor ", tensor.name, " at offset ", tensor.file_offset + at, ": ");
  ASSERT_FALSE(said.empty()) << where << value << " was accepted by " << n_ranks << " ranks";
  for (const std::string& message : said) {
    EXPECT_EQ(message.find(where), 0u) << message;
    EXPECT_NE(message.find(str(" is ", value)), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

class DamagedWeights : public ::testing::TestWithParam<WeightType> {};

TEST_P(DamagedWeights, OfEveryTensorAreRefusedByTheRankThatReadsThem) {
  FakeModelFile file(spec_of(GetParam()));
  for (const int n_ranks : {1, 2, 4}) {
    ASSERT_TRUE(refusals(file, n_ranks).empty());
    for (const Tensor& tensor : file.tensors()) {
      for (const size_t at : number_offsets(tensor)) {
        for (const float value : {kNan, kInf, -kInf}) {
          ASSERT_NO_FATAL_FAILURE(expect_refused_at(file, tensor, at, value, n_ranks));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, DamagedWeights, ::testing::ValuesIn(kAllTypes),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST(DamagedWeightsTied, ATiedEmbeddingIsLookedAtToo) {
  FakeModelSpec spec = spec_of(WeightType::kQ5_1);
  spec.tied_embeddings = true;
  FakeModelFile file(spec);
  const Tensor& embedding = *file.find("token_embd.weight");
  expect_refused_at(file, embedding, number_offsets(embedding).back(), kNan, 2);
}

}  // namespace
}  // namespace lockstep
