// The tables of the model families: each tensor has one row, and the loader reads every row.
#include "node/model/families/family.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "node/model/weights/weights.h"
#include "tests/support/cpu_device.h"
#include "tests/support/fake_model_file.h"

namespace lockstep {
namespace {

using testing::FakeModelFile;

TEST(Families, AreFoundByTheirArchitecture) {
  for (const Family& family : families())
    EXPECT_EQ(find_family(family.architecture), &family) << family.architecture;
  EXPECT_EQ(find_family("llama2"), nullptr);
  EXPECT_EQ(find_family(""), nullptr);
}

TEST(Families, EachRoleAndEachNameHasOneRow) {
  for (const Family& family : families()) {
    std::set<TensorRole> roles;
    std::set<std::string> names, hf_names;
    for (const TensorSpec& row : family.tensors) {
      EXPECT_TRUE(roles.insert(row.role).second) << family.architecture << " " << row.gguf_name;
      EXPECT_TRUE(names.insert(row.name_in_gguf(1)).second) << row.gguf_name;
      EXPECT_TRUE(hf_names.insert(row.name_in_hf(1)).second) << row.hf_name;
      EXPECT_EQ(&family.spec(row.role), &row);
      EXPECT_EQ(row.name_in_gguf(7).starts_with("blk.7."), row.layers == Layers::kEach);
      EXPECT_EQ(row.name_in_hf(7).starts_with("model.layers.7."), row.layers == Layers::kEach);
    }
  }
}

TEST(Families, ALayerHasTheWindowAndTheRotationOfItsFamily) {
  const LayerConfig plain, windowed{.window = 9};
  EXPECT_EQ(find_family("llama")->layers(2, 9), (std::vector<LayerConfig>{windowed, windowed}));
  EXPECT_EQ(find_family("qwen2")->layers(1, 9), std::vector<LayerConfig>{plain});
  const std::vector<LayerConfig> layers = find_family("smollm3")->layers(8, 0);
  for (size_t i = 0; i < layers.size(); ++i) EXPECT_EQ(layers[i].rotates, i != 3 && i != 7) << i;
}

// A row that nobody reads would be a tensor without influence on the tokens.
TEST(Families, TheLoaderReadsEveryTensorOfAFile) {
  for (const Family& family : families()) {
    testing::FakeModelSpec spec;
    spec.architecture = family.architecture;
    spec.qkv_bias = true;
    spec.tied_embeddings = false;
    const FakeModelFile file(spec);
    MemoryLedger ledger;
    const ShardPlan plan = make_shard_plan(spec.shape, 1).value();
    const LoadedWeights loaded =
        load_weights(file, plan, 0, testing::cpu_device(), testing::cpu_stream(), ledger);
    std::set<const Tensor*> read;
    for (const UnitDigest& unit : loaded.digests) read.insert(unit.source.tensor);
    EXPECT_EQ(read.size(), file.tensors().size()) << family.architecture;
  }
}

}  // namespace
}  // namespace lockstep
