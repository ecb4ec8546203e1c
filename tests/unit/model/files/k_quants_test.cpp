// K-quants in files: their values are those that gguf (PyPI) reads, bit for bit, and a row is made
// of whole super-blocks.
#include <gtest/gtest.h>

#include <fstream>

#include "common/load_error.h"
#include "common/log.h"
#include "kernels/layout/quant.h"
#include "node/model/files/gguf/gguf_model.h"
#include "node/model/files/open_model_file.h"
#include "tests/support/equal_bits.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/paths.h"

namespace lockstep::testing {
namespace {

constexpr std::pair<const char*, WeightType> kTypes[] = {
    {"q4_k", WeightType::kQ4_K}, {"q5_k", WeightType::kQ5_K}, {"q6_k", WeightType::kQ6_K}};

template <class T>
std::vector<T> read_all(const std::string& name) {
  std::ifstream file(tiny_models() + "/" + name, std::ios::binary | std::ios::ate);
  std::vector<T> values(static_cast<size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(T)));
  EXPECT_TRUE(file.good()) << name;
  return values;
}

// tests/reference/k_quants.py writes random super-blocks and what gguf makes of them. Only the sign
// of a zero may differ, which gguf takes from the scale; embeddings have no negative zero.
TEST(KQuants, HaveTheValuesThatTheGgufPackageReads) {
  for (const auto& [name, type] : kTypes) {
    const auto blocks = read_all<std::byte>(str("k_quants.", name, ".blocks"));
    std::vector<float> expected = read_all<float>(str("k_quants.", name, ".f32"));
    const auto n = static_cast<int64_t>(expected.size());
    ASSERT_EQ(source_row_bytes(type, n), std::ssize(blocks));
    for (float& value : expected) value += 0.0f;
    for (PackedLayout layout : {PackedLayout::kRows, PackedLayout::kFragments}) {
      PackedWeights packed{type, 1, n, {}, nullptr, layout};
      std::vector<std::byte> data(static_cast<size_t>(packed_bytes(packed)));
      packed.data = data.data();
      pack_rows(packed, data.data(), 0, 1, blocks.data(), std::ssize(blocks));
      std::vector<float> got(expected.size());
      unpack_row(packed, 0, got);
      for (float& value : got) value += 0.0f;
      EXPECT_TRUE(equal_bits(expected, got)) << name;
    }
  }
}

TEST(KQuants, AreReadFromFiles) {
  for (const auto& [name, type] : kTypes) {
    const auto file = open_model_file(str(tiny_models(), "/tiny-tp-", name, ".gguf"));
    const Tensor& down = file->require("blk.1.ffn_down.weight", 256, 512);
    EXPECT_EQ(down.type, type);
    EXPECT_EQ(down.row_bytes(), 2 * source_block_bytes(type));
  }
}

TEST(KQuants, ARowOfPartOfASuperBlockIsRefused) {
  for (const auto id : {12u, 13u, 14u}) {
    GgufBuilder builder = GgufBuilder::tiny_llama();  // rows of 32 values
    builder.tensor("blk.0.attn_q.weight").type = id;
    const Bytes bytes = builder.build();
    try {
      GgufModel model(bytes);
      FAIL() << "accepted type " << id;
    } catch (const LoadError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("rows of 32 values cannot be of type Q"), std::string::npos)
          << message;
      EXPECT_NE(message.find("(not a multiple of 256)"), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
