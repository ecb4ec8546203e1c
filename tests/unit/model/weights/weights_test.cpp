// RankWeights: a shard has every value of its part of the model, for all weight types. The combined
// digests of all ranks do not depend on the number of ranks.
#include "node/model/weights/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "common/load_error.h"
#include "tests/support/cpu_device.h"
#include "tests/support/fake_model_file.h"

namespace lockstep {
namespace {

using testing::FakeModelFile;
using testing::FakeModelSpec;

ShardPlan plan_of(const FakeModelFile& file, int n_ranks) {
  return make_shard_plan(file.config().shape, n_ranks).value();
}

std::vector<LoadedWeights> load_all(const FakeModelFile& file, int n_ranks, MemoryLedger& ledger) {
  const ShardPlan plan = plan_of(file, n_ranks);
  std::vector<LoadedWeights> ranks;
  for (int r = 0; r < n_ranks; ++r) {
    ranks.push_back(
        load_weights(file, plan, r, testing::cpu_device(), testing::cpu_stream(), ledger));
  }
  return ranks;
}

std::vector<float> row_of(const PackedWeights& weights, int64_t row) {
  std::vector<float> values(static_cast<size_t>(weights.k));
  unpack_row(weights, row, values);
  return values;
}

// Row `row` of a matrix that may have several parts.
std::vector<float> row_of(const Matrix& matrix, int64_t row) {
  for (const Matrix::Part& part : matrix.parts) {
    if (row < part.first_row + part.weights.n_rows) {
      return row_of(part.weights, row - part.first_row);
    }
  }
  ADD_FAILURE() << "no row " << row;
  return {};
}

float bias_of(const Matrix& matrix, int64_t row) {
  for (const Matrix::Part& part : matrix.parts) {
    if (row < part.first_row + part.weights.n_rows)
      return part.bias.row<float>(0)[row - part.first_row];
  }
  return NAN;
}

// Eight leaves in every matrix: 8 query heads on 4 KV heads of 32, 16 blocks of FFN.
FakeModelSpec wide_spec() {
  FakeModelSpec spec;
  spec.shape = {.hidden_dim = 64,
                .n_heads = 8,
                .n_kv_heads = 4,
                .head_dim = 32,
                .ffn_dim = 512,
                .vocab_size = 300};
  return spec;
}

void expect_rows(const Matrix& shard, int64_t shard_row, const Matrix& whole, int64_t whole_row,
                 int64_t n, const char* what) {
  for (int64_t i = 0; i < n; ++i) {
    ASSERT_EQ(row_of(shard, shard_row + i), row_of(whole, whole_row + i)) << what << " row " << i;
  }
}

void expect_columns(const Matrix& shard, int64_t first, const Matrix& whole, const char* what) {
  ASSERT_EQ(shard.n_rows(), whole.n_rows());
  for (int64_t row = 0; row < shard.n_rows(); ++row) {
    const std::vector<float> all = row_of(whole, row);
    const std::vector<float> expected(all.begin() + first, all.begin() + first + shard.k());
    ASSERT_EQ(row_of(shard, row), expected) << what << " row " << row;
  }
}

void expect_shard(const RankWeights& shard, const RankWeights& whole, const ModelShape& shape,
                  const RankShard& rank) {
  const int64_t d = shape.head_dim;
  const int64_t q = rank.n_heads * d, kv = rank.n_kv_heads * d;
  for (size_t l = 0; l < whole.layers.size(); ++l) {
    const LayerWeights& a = shard.layers[l];
    const LayerWeights& b = whole.layers[l];
    expect_rows(a.qkv, 0, b.qkv, rank.first_head * d, q, "q");
    expect_rows(a.qkv, q, b.qkv, (shape.n_heads + rank.first_kv_head) * d, kv, "k");
    expect_rows(a.qkv, q + kv, b.qkv, (shape.n_heads + shape.n_kv_heads + rank.first_kv_head) * d,
                kv, "v");
    expect_columns(a.o, rank.first_head * d, b.o, "o");
    expect_rows(a.gate_up, 0, b.gate_up, rank.first_ffn, rank.n_ffn, "gate");
    expect_rows(a.gate_up, rank.n_ffn, b.gate_up, shape.ffn_dim + rank.first_ffn, rank.n_ffn, "up");
    expect_columns(a.down, rank.first_ffn, b.down, "down");
  }
  expect_rows(shard.head, 0, whole.head, rank.first_vocab, rank.n_vocab, "head");
  for (int64_t row = 0; row < rank.n_vocab; ++row) {
    ASSERT_EQ(row_of(shard.embedding, row), row_of(whole.embedding, rank.first_vocab + row));
  }
}

class WeightsOfType : public ::testing::TestWithParam<WeightType> {};
INSTANTIATE_TEST_SUITE_P(Types, WeightsOfType,
                         ::testing::Values(WeightType::kF32, WeightType::kF16, WeightType::kBF16,
                                           WeightType::kQ8_0, WeightType::kQ4_0, WeightType::kQ4_1,
                                           WeightType::kQ5_0, WeightType::kQ5_1, WeightType::kQ4_K,
                                           WeightType::kQ5_K, WeightType::kQ6_K),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(WeightsOfType, EveryShardHoldsTheRowsAndColumnsOfTheWholeModel) {
  FakeModelSpec spec = wide_spec();
  spec.matrices = GetParam();
  const FakeModelFile file(spec);
  MemoryLedger ledger;
  const auto whole = load_all(file, 1, ledger);
  for (int n_ranks : {2, 3, 5, 8}) {
    SCOPED_TRACE(n_ranks);
    const auto ranks = load_all(file, n_ranks, ledger);
    const ShardPlan plan = plan_of(file, n_ranks);
    for (size_t r = 0; r < ranks.size(); ++r) {
      expect_shard(ranks[r].weights, whole[0].weights, spec.shape, plan.ranks[r]);
    }
  }
}

TEST(Weights, NeighboursOfOneTypeAreOneMatrix) {
  FakeModelSpec spec = wide_spec();
  spec.matrices = WeightType::kQ4_1;
  MemoryLedger ledger;
  const auto loaded = load_all(FakeModelFile(spec), 1, ledger);
  const LayerWeights& layer = loaded[0].weights.layers[0];
  EXPECT_EQ(layer.qkv.parts.size(), 1u);
  EXPECT_EQ(layer.qkv.n_rows(), (8 + 2 * 4) * 32);
  EXPECT_EQ(layer.gate_up.parts.size(), 1u);
  EXPECT_TRUE(layer.qkv.reads_quantized());
  EXPECT_FALSE(layer.qkv.reads_f32());
}

TEST(Weights, NeighboursOfDifferentTypesStaySideBySide) {
  FakeModelSpec spec = wide_spec();
  spec.matrices = WeightType::kQ4_1;
  spec.types["attn_v"] = WeightType::kF16;
  spec.types["ffn_gate"] = WeightType::kQ8_0;
  const FakeModelFile file(spec);
  MemoryLedger ledger;
  const auto whole = load_all(file, 1, ledger);
  const LayerWeights& layer = whole[0].weights.layers[0];
  ASSERT_EQ(layer.qkv.parts.size(), 2u) << "q and k together, v alone";
  EXPECT_EQ(layer.qkv.parts[1].first_row, (8 + 4) * 32);
  EXPECT_TRUE(layer.qkv.reads_quantized());
  EXPECT_TRUE(layer.qkv.reads_f32());
  EXPECT_EQ(layer.gate_up.parts.size(), 2u);
  const auto ranks = load_all(file, 3, ledger);
  const ShardPlan plan = plan_of(file, 3);
  for (size_t r = 0; r < ranks.size(); ++r) {
    expect_shard(ranks[r].weights, whole[0].weights, spec.shape, plan.ranks[r]);
  }
}

TEST(Weights, BiasesAreCutWithTheirRows) {
  FakeModelSpec spec = wide_spec();
  spec.qkv_bias = true;
  const FakeModelFile file(spec);
  MemoryLedger ledger;
  const auto whole = load_all(file, 1, ledger);
  const auto ranks = load_all(file, 4, ledger);
  const ShardPlan plan = plan_of(file, 4);
  for (size_t r = 0; r < 4; ++r) {
    const RankShard& shard = plan.ranks[r];
    const Matrix& a = ranks[r].weights.layers[1].qkv;
    const Matrix& b = whole[0].weights.layers[1].qkv;
    for (int i = 0; i < shard.n_heads * 32; ++i) {
      EXPECT_EQ(bias_of(a, i), bias_of(b, shard.first_head * 32 + i));
    }
    for (int i = 0; i < shard.n_kv_heads * 32; ++i) {
      EXPECT_EQ(bias_of(a, shard.n_heads * 32 + i), bias_of(b, (8 + shard.first_kv_head) * 32 + i));
    }
  }
}

TEST(Weights, TiedEmbeddingsAreHeldOnce) {
  FakeModelSpec spec = wide_spec();
  MemoryLedger ledger;
  const auto tied = load_all(FakeModelFile(spec), 1, ledger);
  EXPECT_EQ(tied[0].weights.head.parts[0].weights.data, tied[0].weights.embedding.data);
  spec.tied_embeddings = false;
  const auto untied = load_all(FakeModelFile(spec), 1, ledger);
  EXPECT_NE(untied[0].weights.head.parts[0].weights.data, untied[0].weights.embedding.data);
}

TEST(Weights, BytesAreBookedAndTheFileIsLetGo) {
  FakeModelSpec spec = wide_spec();
  spec.matrices = WeightType::kQ4_1;
  const FakeModelFile file(spec);
  MemoryLedger ledger;
  {
    const auto loaded = load_all(file, 1, ledger);
    EXPECT_EQ(ledger.bytes(MemoryTag::kWeights), loaded[0].weights.memory.bytes());
    EXPECT_LT(ledger.bytes(MemoryTag::kWeights), file.bytes() * 11 / 10) << "padding aside";
    EXPECT_GT(file.bytes_released(), file.bytes() * 9 / 10);
  }
  EXPECT_EQ(ledger.bytes(MemoryTag::kWeights), 0);
}

TEST(Weights, AMissingTensorIsNamed) {
  FakeModelFile file(wide_spec());
  file.remove("blk.1.ffn_up.weight");
  MemoryLedger ledger;
  try {
    load_all(file, 1, ledger);
    FAIL() << "loaded";
  } catch (const LoadError& error) {
    EXPECT_NE(std::string(error.what()).find("blk.1.ffn_up.weight"), std::string::npos);
  }
}

Digest128 digest_of(const FakeModelFile& file, int n_ranks) {
  MemoryLedger ledger;
  std::vector<UnitDigest> units;
  for (const LoadedWeights& rank : load_all(file, n_ranks, ledger)) {
    units.insert(units.end(), rank.digests.begin(), rank.digests.end());
  }
  return combine_units(units);
}

// Leaves of attention output are 32 wide and those of FFN down 64, so they cut super-blocks.
TEST(Fingerprint, IsTheSameAtEveryTensorParallelDegree) {
  for (const WeightType type : {WeightType::kQ5_1, WeightType::kQ4_K, WeightType::kQ6_K}) {
    FakeModelSpec spec = wide_spec();
    spec.qkv_bias = true;
    spec.tied_embeddings = false;
    spec.matrices = type;
    const FakeModelFile file(spec);
    const Digest128 alone = digest_of(file, 1);
    for (int n_ranks = 2; n_ranks <= 8; ++n_ranks) {
      EXPECT_EQ(digest_of(file, n_ranks), alone) << to_string(type) << ", " << n_ranks << " ranks";
    }
  }
}

// The rows of q and k of a model that rotates neighbours, moved to where a file of halves has them.
void store_halves(FakeModelFile& file) {
  const int64_t d = file.config().shape.head_dim;
  for (const Tensor& tensor : file.tensors()) {
    const bool rotates = tensor.name.find("attn_q.") != std::string::npos ||
                         tensor.name.find("attn_k.") != std::string::npos;
    if (!rotates) continue;
    const std::span<std::byte> bytes = file.bytes_of(tensor.name);
    const std::vector<std::byte> before(bytes.begin(), bytes.end());
    const int64_t n = tensor.n_rows == 1 ? tensor.n_cols : tensor.n_rows;
    const int64_t size = tensor.bytes() / n;
    for (int64_t row = 0; row < n; ++row) {
      const int64_t j = row % d / 2, half = row % 2;
      const int64_t to = row / d * d + half * (d / 2) + j;
      std::memcpy(bytes.data() + to * size, before.data() + row * size, static_cast<size_t>(size));
    }
  }
}

TEST(Weights, RowsOfAFileInHalvesAreReadInPairsForNeighbours) {
  for (const WeightType type : {WeightType::kF32, WeightType::kBF16, WeightType::kQ4_1}) {
    FakeModelSpec spec = wide_spec();
    spec.qkv_bias = true;
    spec.matrices = type;
    const FakeModelFile pairs(spec);
    spec.row_order = RopeStyle::kHalves;
    FakeModelFile halves(spec);
    store_halves(halves);
    MemoryLedger ledger;
    for (const int n_ranks : {1, 3, 8}) {
      const auto expected = load_all(pairs, n_ranks, ledger);
      const auto actual = load_all(halves, n_ranks, ledger);
      for (size_t r = 0; r < expected.size(); ++r) {
        const DeviceBuffer& a = actual[r].weights.memory;
        const DeviceBuffer& b = expected[r].weights.memory;
        ASSERT_EQ(a.bytes(), b.bytes());
        EXPECT_EQ(std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())), 0)
            << to_string(type) << ", rank " << r << " of " << n_ranks;
      }
      EXPECT_EQ(digest_of(halves, n_ranks), digest_of(pairs, n_ranks)) << to_string(type);
    }
    EXPECT_GT(halves.bytes_released(), halves.bytes() * 9 / 10);
  }
}

TEST(Weights, AFileInHalvesOfAModelThatRotatesHalvesIsReadAsItLies) {
  FakeModelSpec spec = wide_spec();
  spec.architecture = "qwen2";
  const Digest128 as_it_lies = digest_of(FakeModelFile(spec), 2);
  spec.row_order = RopeStyle::kHalves;
  EXPECT_EQ(digest_of(FakeModelFile(spec), 2), as_it_lies);
}

TEST(Fingerprint, ChangesWithAnyBitOfAnyTensor) {
  for (const WeightType type : {WeightType::kQ4_0, WeightType::kQ4_K, WeightType::kQ6_K}) {
    FakeModelSpec spec = wide_spec();
    spec.n_layers = 1;
    spec.qkv_bias = true;
    spec.tied_embeddings = false;
    spec.matrices = type;
    FakeModelFile file(spec);
    const Digest128 before = digest_of(file, 3);
    for (const Tensor& tensor : file.tensors()) {
      const std::span<std::byte> bytes = file.bytes_of(tensor.name);
      for (size_t at : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
        bytes[at] ^= std::byte{1};
        EXPECT_NE(digest_of(file, 3), before) << tensor.name << " byte " << at;
        bytes[at] ^= std::byte{1};
      }
    }
    EXPECT_EQ(digest_of(file, 3), before) << to_string(type);
  }
}

TEST(Fingerprint, AFileThatChangesUnderTheRanksIsRefused) {
  FakeModelFile file(wide_spec());
  MemoryLedger ledger;
  auto units = load_all(file, 1, ledger)[0].digests;
  file.bytes_of("output_norm.weight")[3] ^= std::byte{1};
  const auto later = load_all(file, 1, ledger)[0].digests;
  units.insert(units.end(), later.begin(), later.end());
  EXPECT_THROW(combine_units(units), LoadError);
}

TEST(Fingerprint, NamesEveryThingThatChangesTokens) {
  const FakeModelFile file(wide_spec());
  const Digest128 weights{};
  TokenizerData text;
  text.model = "gpt2";
  text.pre = "gpt-2";
  text.tokens = {"a", "b"};
  text.types = {TokenType::kNormal, TokenType::kControl};
  text.merges = {"a b"};
  const std::string base = make_fingerprint(weights, file.config(), text, DType::kF16);
  EXPECT_EQ(base.size(), 32u);
  EXPECT_EQ(base, make_fingerprint(weights, file.config(), text, DType::kF16));
  EXPECT_NE(base, make_fingerprint(weights, file.config(), text, DType::kQ8_0));
  EXPECT_NE(base, make_fingerprint({std::byte{1}}, file.config(), text, DType::kF16));

  const std::vector<std::function<void(ModelConfig&)>> model_changes = {
      [](ModelConfig& m) { m.architecture = "other"; },
      [](ModelConfig& m) { m.shape.n_heads *= 2; },
      [](ModelConfig& m) { m.shape.n_kv_heads *= 2; },
      [](ModelConfig& m) { m.rms_eps *= 2; },
      [](ModelConfig& m) { m.rope_theta *= 2; },
      [](ModelConfig& m) { m.n_rot -= 2; },
      [](ModelConfig& m) {
        m.rope_style =
            m.rope_style == RopeStyle::kNeighbours ? RopeStyle::kHalves : RopeStyle::kNeighbours;
      },
      [](ModelConfig& m) { m.rope_freq_divisors.assign(16, 1.0f); },
      [](ModelConfig& m) { m.layers.back().window = 5; },
      [](ModelConfig& m) { m.layers.front().rotates = false; },
  };
  for (size_t i = 0; i < model_changes.size(); ++i) {
    ModelConfig changed = file.config();
    model_changes[i](changed);
    EXPECT_NE(base, make_fingerprint(weights, changed, text, DType::kF16)) << "change " << i;
  }
  const std::vector<std::function<void(TokenizerData&)>> text_changes = {
      [](TokenizerData& t) { t.model = "other"; },
      [](TokenizerData& t) { t.pre = "qwen2"; },
      [](TokenizerData& t) { t.tokens[1] = "c"; },
      [](TokenizerData& t) { t.types[1] = TokenType::kNormal; },
      [](TokenizerData& t) { t.merges.clear(); },
      [](TokenizerData& t) { t.bos_id = 1; },
      [](TokenizerData& t) { t.eos_id = 1; },
      [](TokenizerData& t) { t.extra_eog_ids = {0}; },
      [](TokenizerData& t) { t.add_bos = true; },
      [](TokenizerData& t) { t.chat_template = "{{ 1 }}"; },
      [](TokenizerData& t) {
        t.scores = {0, 1};
      },
      [](TokenizerData& t) {
        t.scores = {1, 0};
      },
      [](TokenizerData& t) { t.add_space_prefix = true; },
      [](TokenizerData& t) { t.remove_extra_whitespaces = true; },
      [](TokenizerData& t) { t.rstrip_ids = {0}; },
      [](TokenizerData& t) { t.unk_id = 1; },
      [](TokenizerData& t) { t.pad_id = 1; },
  };
  std::set<std::string> all = {base};
  for (size_t i = 0; i < text_changes.size(); ++i) {
    TokenizerData changed = text;
    text_changes[i](changed);
    EXPECT_TRUE(all.insert(make_fingerprint(weights, file.config(), changed, DType::kF16)).second)
        << "change " << i;
  }
}

}  // namespace
}  // namespace lockstep
