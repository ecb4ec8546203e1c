// A model that a valid GGUF file describes but this version cannot run exactly is refused, with the
// key named.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/unit/model/gguf_fault.h"

namespace lockstep::testing {
namespace {

const std::vector<GgufFault>& config_faults() {
  static const std::vector<GgufFault> faults = {
      {"architecture",
       [](auto& b) { b.set_string("general.architecture", "mamba"); },
       {"'general.architecture'", "'mamba'"}},
      {"noArchitecture",
       [](auto& b) { b.remove_key("general.architecture"); },
       {"'general.architecture'", "missing"}},
      {"architectureIsANumber",
       [](auto& b) { b.set_u32("general.architecture", 1); },
       {"'general.architecture'", "uint32", "string"}},
      {"firstFileOfTwo",
       [](auto& b) {
         b.set_raw("split.no", 2, {std::byte{0}, std::byte{0}});
         b.set_raw("split.count", 2, {std::byte{2}, std::byte{0}});
         b.remove_tensor("output_norm.weight");
       },
       {"'split.count'", "file 1 of 2", "-00001-of-00002.gguf"}},
      {"thirdFileOfThree",
       [](auto& b) {
         b.set_u32("split.no", 2);
         b.set_u32("split.count", 3);
         b.remove_key("general.architecture");
       },
       {"'split.no'", "file 3 of 3", "name its first file, …-00001-of-00003.gguf"}},
      {"manyFiles",
       [](auto& b) { b.set_u32("split.count", 70000); },
       {"'split.count'", "is 70000", "more than 128"}},
      {"splitCountNegative",
       [](auto& b) { b.set_i32("split.count", -2); },
       {"'split.count'", "-2"}},
      {"noLayers",
       [](auto& b) { b.set_u32("llama.block_count", 0); },
       {"'llama.block_count'", "is 0"}},
      {"manyLayers",
       [](auto& b) { b.set_u32("llama.block_count", 4000000000u); },
       {"'llama.block_count'", "4000000000"}},
      {"oneLayerTooMany",
       [](auto& b) { b.set_u32("llama.block_count", 2); },
       {"'blk.1.attn_norm.weight'", "missing"}},
      {"negative",
       [](auto& b) { b.set_i32("llama.context_length", -5); },
       {"'llama.context_length'", "-5"}},
      {"tooLargeForInt64",
       [](auto& b) { b.set_u64("llama.context_length", kHuge); },
       {"'llama.context_length'", "18446744073709551615"}},
      {"noContext",
       [](auto& b) { b.remove_key("llama.context_length"); },
       {"'llama.context_length'", "missing"}},
      {"noHeads",
       [](auto& b) { b.set_u32("llama.attention.head_count", 0); },
       {"'llama.attention.head_count'", "is 0"}},
      {"unevenHeads",
       [](auto& b) { b.set_u32("llama.attention.head_count", 3); },
       {"'llama.attention.head_count'", "32"}},
      {"unevenGroups",
       [](auto& b) {
         b.set_u32("llama.attention.head_count", 8), b.set_u32("llama.attention.head_count_kv", 3);
       },
       {"'llama.attention.head_count_kv'", "8 heads", "3 KV heads"}},
      {"moreKvHeads",
       [](auto& b) { b.set_u32("llama.attention.head_count_kv", 4); },
       {"'llama.attention.head_count_kv'", "is 4", "1..2"}},
      {"headsTooWide",
       [](auto& b) { b.set_u32("llama.attention.key_length", 257); },
       {"'llama.attention.key_length'", "257", "256"}},
      {"headsByLayer",
       [](auto& b) {
         b.set_i32s("llama.attention.head_count", {2, 4});
       },
       {"'llama.attention.head_count'", "array of int32"}},
      {"unequalHeadDims",
       [](auto& b) { b.set_u32("llama.attention.value_length", 8); },
       {"'llama.attention.value_length'", "is 8", "16"}},
      {"noEps",
       [](auto& b) { b.remove_key("llama.attention.layer_norm_rms_epsilon"); },
       {"'llama.attention.layer_norm_rms_epsilon'", "missing"}},
      {"epsNan",
       [](auto& b) { b.set_f32("llama.attention.layer_norm_rms_epsilon", NAN); },
       {"'llama.attention.layer_norm_rms_epsilon'", "nan"}},
      {"thetaZero",
       [](auto& b) { b.set_f32("llama.rope.freq_base", 0); },
       {"'llama.rope.freq_base'", "is 0"}},
      {"thetaInfinite",
       [](auto& b) { b.set_f32("llama.rope.freq_base", INFINITY); },
       {"'llama.rope.freq_base'", "inf"}},
      {"oddRotation",
       [](auto& b) { b.set_u32("llama.rope.dimension_count", 7); },
       {"'llama.rope.dimension_count'", "7"}},
      {"rotationPastTheHead",
       [](auto& b) { b.set_u32("llama.rope.dimension_count", 32); },
       {"'llama.rope.dimension_count'", "32", "2..16"}},
      {"yarn",
       [](auto& b) { b.set_string("llama.rope.scaling.type", "yarn"); },
       {"'llama.rope.scaling.type'", "'yarn'"}},
      {"longrope",
       [](auto& b) { b.set_string("llama.rope.scaling.type", "longrope"); },
       {"'longrope'"}},
      {"scalingFactorZero",
       [](auto& b) { b.set_f32("llama.rope.scaling.factor", 0); },
       {"'llama.rope.scaling.factor'"}},
      {"attnFactor",
       [](auto& b) { b.set_f32("llama.rope.scaling.attn_factor", 1.19f); },
       {"'llama.rope.scaling.attn_factor'", "not supported"}},
      {"experts",
       [](auto& b) { b.set_u32("llama.expert_count", 8); },
       {"'llama.expert_count'", "8"}},
      {"notCausal",
       [](auto& b) { b.set_bool("llama.attention.causal", false); },
       {"'llama.attention.causal'"}},
      {"logitScale",
       [](auto& b) { b.set_f32("llama.logit_scale", 0.5f); },
       {"'llama.logit_scale'", "not supported"}},
      {"noTokens",
       [](auto& b) { b.remove_key("tokenizer.ggml.tokens"); },
       {"'tokenizer.ggml.tokens'", "missing"}},
      {"noTokenizer",
       [](auto& b) { b.remove_key("tokenizer.ggml.model"); },
       {"'tokenizer.ggml.model'", "missing"}},
      {"tokensOfNumbers",
       [](auto& b) {
         b.set_i32s("tokenizer.ggml.tokens", {1, 2});
       },
       {"'tokenizer.ggml.tokens'", "array of int32"}},
      {"oneTokenShort",
       [](auto& b) {
         b.set_strings("tokenizer.ggml.tokens", {"a"}), b.remove_key("tokenizer.ggml.token_type"),
             b.remove_key("tokenizer.ggml.eos_token_id");
       },
       {"'tokenizer.ggml.tokens'", "1 tokens", "8 rows"}},
      {"typesShort",
       [](auto& b) { b.set_i32s("tokenizer.ggml.token_type", {1}); },
       {"'tokenizer.ggml.token_type'", "1 entries", "8 tokens"}},
      {"typeUnknown",
       [](auto& b) {
         b.set_i32s("tokenizer.ggml.token_type", {1, 1, 1, 7, 1, 1, 1, 1});
       },
       {"'tokenizer.ggml.token_type'", "token 3", "type 7"}},
      {"eosOutside",
       [](auto& b) { b.set_u32("tokenizer.ggml.eos_token_id", 8); },
       {"'tokenizer.ggml.eos_token_id'", "is 8", "0..7"}},
      {"boolIsTwo",
       [](auto& b) { b.set_raw("tokenizer.ggml.add_bos_token", 7, {std::byte{2}}); },
       {"'tokenizer.ggml.add_bos_token'", "is 2"}},
      {"addEos",
       [](auto& b) { b.set_bool("tokenizer.ggml.add_eos_token", true); },
       {"'tokenizer.ggml.add_eos_token'"}},
      {"spmWithoutScores",
       [](auto& b) { b = GgufBuilder::tiny_spm(), b.remove_key("tokenizer.ggml.scores"); },
       {"'tokenizer.ggml.scores'", "missing", "'llama'"}},
      {"spmScoresShort",
       [](auto& b) {
         b = GgufBuilder::tiny_spm(), b.set_f32s("tokenizer.ggml.scores", {1, 2, 3});
       },
       {"'tokenizer.ggml.scores'", "3 entries", "8 tokens"}},
      {"spmScoresOfIntegers",
       [](auto& b) {
         b = GgufBuilder::tiny_spm(), b.set_i32s("tokenizer.ggml.scores", {1, 2});
       },
       {"'tokenizer.ggml.scores'", "array of int32", "array of float32"}},
      {"spmScoreNaN",
       [](auto& b) {
         const float nan = std::numeric_limits<float>::quiet_NaN();
         b = GgufBuilder::tiny_spm();
         b.set_f32s("tokenizer.ggml.scores", {0, 0, 0, 0, 0, nan, 0, 0});
       },
       {"'tokenizer.ggml.scores'", "token 5"}},
      {"spmWithoutTypes",
       [](auto& b) { b = GgufBuilder::tiny_spm(), b.remove_key("tokenizer.ggml.token_type"); },
       {"'tokenizer.ggml.token_type'", "missing", "'llama'"}},
      {"spmCharacterMap",
       [](auto& b) {
         b = GgufBuilder::tiny_spm(), b.set_i32s("tokenizer.ggml.precompiled_charsmap", {1});
       },
       {"'tokenizer.ggml.precompiled_charsmap'", "not supported"}},
  };
  return faults;
}

class UnsupportedGguf : public ::testing::TestWithParam<GgufFault> {};
INSTANTIATE_TEST_SUITE_P(Config, UnsupportedGguf, ::testing::ValuesIn(config_faults()), fault_name);
TEST_P(UnsupportedGguf, IsRefusedByName) { expect_refused(GetParam()); }

}  // namespace
}  // namespace lockstep::testing
