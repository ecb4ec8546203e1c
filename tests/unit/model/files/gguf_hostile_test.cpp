// Invalid GGUF files: each is refused by a LoadError that names the key or tensor at fault and the
// numbers. One row of the table changes one thing of a valid model.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "common/load_error.h"
#include "node/model/files/open_model_file.h"
#include "node/model/model_file.h"
#include "tests/support/gguf_builder.h"
#include "tests/unit/model/gguf_fault.h"

namespace lockstep::testing {
namespace {

Bytes array_of(uint32_t element, uint64_t n) {
  Bytes bytes;
  append_number(bytes, element);
  append_number(bytes, n);
  return bytes;
}

Bytes nested_arrays(int depth) {
  Bytes bytes;
  for (int i = 0; i < depth; ++i) {
    const Bytes head = array_of(9, 1);
    bytes.insert(bytes.end(), head.begin(), head.end());
  }
  const Bytes last = array_of(0, 0);
  bytes.insert(bytes.end(), last.begin(), last.end());
  return bytes;
}

const std::vector<GgufFault>& header_faults() {
  static const std::vector<GgufFault> faults = {
      {"magic", [](auto& b) { b.magic = "GGML"; }, {"not a GGUF file"}},
      {"version1", [](auto& b) { b.version = 1; }, {"version 1", "offset 4"}},
      {"version4", [](auto& b) { b.version = 4; }, {"version 4"}},
      {"bigEndian", [](auto& b) { b.version = 0x03000000; }, {"big-endian"}},
      {"tensorCount",
       [](auto& b) { b.n_tensors = kHuge; },
       {"tensor count", "18446744073709551615"}},
      {"keyCount", [](auto& b) { b.n_keys = uint64_t{1} << 40; }, {"key count", "1099511627776"}},
      {"oneKeyTooMany", [](auto& b) { b.n_keys = 16; }, {"offset"}},
      {"oneTensorTooMany", [](auto& b) { b.n_tensors = 12; }, {"tensor 11"}},
      {"emptyKey", [](auto& b) { b.set_u32("", 1); }, {"key 15", "is empty"}},
      {"longKey", [](auto& b) { b.set_u32(std::string(70000, 'k'), 1); }, {"key 15", "70000"}},
      {"repeatedKey",
       [](auto& b) { b.repeat_key("llama.block_count"); },
       {"'llama.block_count'", "twice"}},
      {"valueType", [](auto& b) { b.set_raw("x.y", 13, {}); }, {"'x.y'", "unknown type 13"}},
      {"elementType",
       [](auto& b) { b.set_raw("x.y", 9, array_of(77, 1)); },
       {"'x.y'", "unknown type 77"}},
      {"arrayLength",
       [](auto& b) { b.set_raw("x.y", 9, array_of(10, kHuge / 8 + 1)); },
       {"'x.y'", "2305843009213693952"}},
      {"stringArrayLength",
       [](auto& b) { b.set_raw("x.y", 9, array_of(8, kHuge)); },
       {"'x.y'", "array length"}},
      {"nestedTooDeep",
       [](auto& b) { b.set_raw("x.y", 9, nested_arrays(64)); },
       {"'x.y'", "nests"}},
      {"alignmentNotAPowerOfTwo",
       [](auto& b) { b.set_u32("general.alignment", 24); },
       {"'general.alignment'", "24"}},
      {"alignmentZero",
       [](auto& b) { b.set_u32("general.alignment", 0); },
       {"'general.alignment'", "is 0"}},
      {"alignmentHuge",
       [](auto& b) { b.set_u32("general.alignment", 1u << 31); },
       {"'general.alignment'", "2147483648"}},
      {"alignmentOfAnotherType",
       [](auto& b) { b.set_f32("general.alignment", 32); },
       {"'general.alignment'", "float32"}},
      {"dataStartPastTheEnd",
       [](auto& b) { b.set_u32("general.alignment", 1u << 20); },
       {"1048576"}},
  };
  return faults;
}

const std::vector<GgufFault>& tensor_faults() {
  static const std::vector<GgufFault> faults = {
      {"noName",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").name = ""; },
       {"tensor 3", "no name"}},
      {"longName",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").name = std::string(65, 'n'); },
       {"tensor 3", "65"}},
      {"repeatedTensor",
       [](auto& b) { b.repeat_tensor("blk.0.attn_q.weight"); },
       {"'blk.0.attn_q.weight'", "twice"}},
      {"noDims",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").dims = {}; },
       {"'blk.0.attn_q.weight'", "0 dimensions"}},
      {"fiveDims",
       [](auto& b) {
         b.tensor("blk.0.attn_q.weight").dims = {32, 32, 1, 1, 1};
       },
       {"5 dimensions"}},
      {"zeroDim",
       [](auto& b) {
         b.tensor("blk.0.attn_q.weight").dims = {32, 0};
       },
       {"'blk.0.attn_q.weight'", "dimension 1 is 0"}},
      {"hugeDim",
       [](auto& b) {
         b.tensor("blk.0.attn_q.weight").dims = {kHuge, 1};
       },
       {"'blk.0.attn_q.weight'", "18446744073709551615"}},
      {"dimsOverflow",
       [](auto& b) {
         b.tensor("blk.0.attn_q.weight").dims = {uint64_t{1} << 32, uint64_t{1} << 32};
       },
       {"2^48"}},
      {"dimsOverflowToSmall",
       [](auto& b) {
         b.tensor("blk.0.attn_q.weight").dims = {uint64_t{1} << 34, uint64_t{1} << 30, 1, 1};
       },
       {"2^48"}},
      {"unknownType",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").type = 99; },
       {"'blk.0.attn_q.weight'", "unknown type 99"}},
      {"removedType",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").type = 4; },
       {"unknown type 4"}},
      {"unsupportedType",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").type = 11; },
       {"'blk.0.attn_q.weight'", "Q3_K", "not supported"}},
      {"raggedBlocks",
       [](auto& b) {
         b.tensor("blk.0.attn_q.weight").type = 8, b.tensor("blk.0.attn_q.weight").dims = {33, 32};
       },
       {"'blk.0.attn_q.weight'", "33", "Q8_0"}},
      {"misaligned",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").offset = 8; },
       {"'blk.0.attn_q.weight'", "offset 8", "alignment 32"}},
      {"offsetPastTheEnd",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").offset = uint64_t{1} << 30; },
       {"'blk.0.attn_q.weight'", "1073741824", "past the end"}},
      {"offsetOverflows",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").offset = kHuge - 31; },
       {"'blk.0.attn_q.weight'", "past the end"}},
      {"endPastTheEnd",
       [](auto& b) {
         b.tensor("blk.0.ffn_down.weight").dims = {64, 64};
       },
       {"'blk.0.ffn_down.weight'", "16384 bytes"}},
      {"overlap",
       [](auto& b) { b.tensor("blk.0.attn_q.weight").offset = 0; },
       {"'blk.0.attn_q.weight'", "overlaps", "'token_embd.weight'"}},
      {"overlapByABlock",
       [](auto& b) { b.tensor("output_norm.weight").offset = 1024 - 32; },
       {"'output_norm.weight'", "overlaps"}},
      {"missing",
       [](auto& b) { b.remove_tensor("blk.0.attn_q.weight"); },
       {"'blk.0.attn_q.weight'", "missing"}},
      {"embeddingMissing",
       [](auto& b) { b.remove_tensor("token_embd.weight"); },
       {"'token_embd.weight'", "missing"}},
      {"transposed",
       [](auto& b) {
         b.tensor("blk.0.ffn_down.weight").dims = {32, 64};
       },
       {"'blk.0.ffn_down.weight' at offset", "[32, 64]", "[64, 32]"}},
      {"normTooShort",
       [](auto& b) { b.tensor("blk.0.ffn_norm.weight").dims = {16}; },
       {"'blk.0.ffn_norm.weight'", "[16, 1]", "[32, 1]"}},
      {"quantisedNorm",
       [](auto& b) { b.tensor("blk.0.ffn_norm.weight").type = 8; },
       {"'blk.0.ffn_norm.weight'", "type Q8_0", "must be F32"}},
      {"moreLayersThanSaid",
       [](auto& b) { b.add_f32("blk.1.attn_norm.weight", {32}); },
       {"'blk.1.attn_norm.weight'", "1 layers"}},
      {"unreadTensor",
       [](auto& b) { b.add_f32("blk.0.attn_q_norm.weight", {16}); },
       {"'blk.0.attn_q_norm.weight'", "not part of a llama model"}},
      {"outputBias",
       [](auto& b) { b.add_f32("blk.0.attn_output.bias", {32}); },
       {"'blk.0.attn_output.bias'", "not part"}},
      {"someBiases",
       [](auto& b) { b.add_f32("blk.0.attn_q.bias", {32}); },
       {"'blk.0.attn_k.bias'", "missing"}},
      {"divisorCount",
       [](auto& b) { b.add_f32("rope_freqs.weight", {16}); },
       {"'rope_freqs.weight'", "[16, 1]", "[8, 1]"}},
      {"divisorZero",
       [](auto& b) { b.add_f32("rope_freqs.weight", {8}); },
       {"'rope_freqs.weight'", "holds 0"}},
      {"divisorNan",
       [](auto& b) {
         b.add_f32("rope_freqs.weight", {8}),
             b.set_data("rope_freqs.weight", {1, 1, NAN, 1, 1, 1, 1, 1});
       },
       {"'rope_freqs.weight'", "nan"}},
  };
  return faults;
}

class HostileGguf : public ::testing::TestWithParam<GgufFault> {};
INSTANTIATE_TEST_SUITE_P(Header, HostileGguf, ::testing::ValuesIn(header_faults()), fault_name);
INSTANTIATE_TEST_SUITE_P(Tensor, HostileGguf, ::testing::ValuesIn(tensor_faults()), fault_name);
TEST_P(HostileGguf, IsRefusedByName) { expect_refused(GetParam()); }

TEST(HostileGguf, CutAnywhereIsRefused) {
  const Bytes whole = GgufBuilder::tiny_llama().build();
  ASSERT_EQ(refusal(whole), "");
  for (size_t i = 0; i < 64; ++i) {
    const Bytes cut(whole.begin(),
                    whole.begin() + static_cast<std::ptrdiff_t>(whole.size() * i / 64));
    EXPECT_NE(refusal(cut), "") << i << "/64";
  }
  const size_t header = GgufBuilder::tiny_llama().data_start();
  for (size_t n = 0; n < header; ++n) {
    EXPECT_NE(refusal(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))), "")
        << n << " bytes";
  }
  EXPECT_NE(refusal(Bytes(whole.begin(), whole.end() - 1)), "");
}

TEST(HostileGguf, ACutTensorIsNamedWithItsOffset) {
  const GgufBuilder builder = GgufBuilder::tiny_llama();
  Bytes bytes = builder.build();
  bytes.pop_back();
  const std::string message = refusal(bytes);
  EXPECT_NE(message.find("tensor 'blk.0.ffn_down.weight': 8192 bytes at offset "),
            std::string::npos)
      << message;
}

TEST(HostileGguf, CountsThatLieCostNothing) {
  const auto start = std::chrono::steady_clock::now();
  for (int bit = 10; bit < 64; ++bit) {
    GgufBuilder builder = GgufBuilder::tiny_llama();
    builder.set_raw("x.y", 9, array_of(8, uint64_t{1} << bit));
    EXPECT_NE(refusal(builder.build()), "");
    builder.n_keys = uint64_t{1} << bit;
    EXPECT_NE(refusal(builder.build()), "");
    builder.n_tensors = uint64_t{1} << bit;
    EXPECT_NE(refusal(builder.build()), "");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(HostileGguf, NamesFromTheFileArePrintedSafely) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.tensor("blk.0.attn_q.weight").name = "evil\n\x1b[31m";
  builder.tensor("evil\n\x1b[31m").type = 99;
  const std::string message = refusal(builder.build());
  EXPECT_NE(message.find("'evil??[31m'"), std::string::npos) << message;
}

TEST(HostileGguf, FilesThatCannotBeModelsAreNamed) {
  const std::pair<const char*, const char*> files[] = {
      {"/nonexistent/model.gguf", "/nonexistent/model.gguf: cannot open: No such file"},
      {"/", "/: the folder has no config.json"},
      {"/dev/null", "/dev/null: not a regular file"}};
  for (const auto& [path, said] : files) {
    try {
      open_model_file(path);
      ADD_FAILURE() << path << " was opened";
    } catch (const LoadError& error) {
      EXPECT_NE(std::string(error.what()).find(said), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
