// Valid GGUF files: what is read from the generated tiny models, and from variants of one that is
// built here.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "common/load_error.h"
#include "node/model/files/gguf/gguf_model.h"
#include "node/model/files/open_model_file.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/paths.h"

namespace lockstep::testing {
namespace {

std::unique_ptr<ModelFile> open_tiny(const std::string& name) {
  return open_model_file(tiny_models() + "/" + name + ".gguf");
}

ModelConfig config_of(const GgufBuilder& builder) {
  const Bytes bytes = builder.build();
  return GgufModel(bytes).config();
}

TokenizerData tokenizer_of(const GgufBuilder& builder) {
  const Bytes bytes = builder.build();
  return GgufModel(bytes).tokenizer();
}

std::string refusal(const GgufBuilder& builder) {
  try {
    config_of(builder);
    return "taken";
  } catch (const LoadError& error) {
    return error.what();
  }
}

TEST(Gguf, ReadsTheShapeOfALlamaModel) {
  const auto file = open_tiny("tiny-9-f32");
  const ModelConfig& config = file->config();
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.name, "tiny-9 F32");
  EXPECT_EQ(config.n_layers(), 2);
  EXPECT_EQ(config.context_length, 1024);
  EXPECT_EQ(config.shape.hidden_dim, 288);
  EXPECT_EQ(config.shape.n_heads, 9);
  EXPECT_EQ(config.shape.n_kv_heads, 3);
  EXPECT_EQ(config.shape.head_dim, 32);
  EXPECT_EQ(config.shape.ffn_dim, 768);
  EXPECT_EQ(config.shape.vocab_size, 512);
  EXPECT_FLOAT_EQ(config.rms_eps, 1e-5f);
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_EQ(config.n_rot, 32);
  EXPECT_EQ(config.rope_style, RopeStyle::kNeighbours);
  EXPECT_TRUE(config.rope_freq_divisors.empty());
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_FALSE(config.qkv_bias);
}

TEST(Gguf, ReadsEveryWeightTypeAndKeepsVectorsInF32) {
  const std::pair<const char*, WeightType> files[] = {
      {"f32", WeightType::kF32},   {"f16", WeightType::kF16},   {"bf16", WeightType::kBF16},
      {"q8_0", WeightType::kQ8_0}, {"q4_0", WeightType::kQ4_0}, {"q4_1", WeightType::kQ4_1},
      {"q5_0", WeightType::kQ5_0}, {"q5_1", WeightType::kQ5_1}};
  for (const auto& [name, type] : files) {
    const auto file = open_tiny(std::string("tiny-9-") + name);
    EXPECT_EQ(file->require("blk.1.ffn_down.weight", 288, 768).type, type) << name;
    EXPECT_EQ(file->require("blk.1.ffn_norm.weight", 1, 288).type, WeightType::kF32) << name;
  }
}

TEST(Gguf, Qwen2RotatesHalvesAndHasBiases) {
  for (const bool tied : {false, true}) {
    const auto file = open_tiny(tied ? "tiny-qw2-tied-f32" : "tiny-qw2-untied-f32");
    EXPECT_EQ(file->config().rope_style, RopeStyle::kHalves);
    EXPECT_TRUE(file->config().qkv_bias);
    EXPECT_EQ(file->config().tied_embeddings, tied);
    EXPECT_EQ(file->find("output.weight") == nullptr, tied);
    EXPECT_FLOAT_EQ(file->config().rms_eps, 1e-6f);
    EXPECT_EQ(file->require("blk.0.attn_q.bias", 1, 64).type, WeightType::kF32);
  }
}

TEST(Gguf, Qwen3NormalisesTheHeadsOfQueriesAndKeys) {
  const auto file = open_tiny("tiny-qw3-f32");
  EXPECT_EQ(file->config().rope_style, RopeStyle::kHalves);
  EXPECT_TRUE(file->config().qk_norm);
  EXPECT_EQ(file->config().shape.head_dim, 32);
  EXPECT_EQ(file->require("blk.1.attn_k_norm.weight", 1, 32).type, WeightType::kF32);
}

TEST(Gguf, SmolLm3RotatesAllButEachFourthLayer) {
  const auto file = open_tiny("tiny-smollm3-f32");
  EXPECT_EQ(file->config().rope_style, RopeStyle::kNeighbours);
  std::vector<bool> rotates;
  for (const LayerConfig& layer : file->config().layers) rotates.push_back(layer.rotates);
  EXPECT_EQ(rotates, (std::vector<bool>{true, true, true, false, true}));
}

TEST(Gguf, Phi3HasFusedTensorsAWindowAndPartlyRotatedHeads) {
  const auto file = open_tiny("tiny-phi3-f32");
  EXPECT_EQ(file->config().rope_style, RopeStyle::kHalves);
  EXPECT_EQ(file->config().n_rot, 12);
  EXPECT_EQ(file->config().layers, (std::vector<LayerConfig>{{.window = 20}, {.window = 20}}));
  EXPECT_EQ(file->require("blk.0.attn_qkv.weight", 192, 64).n_rows, 3 * 64);
  EXPECT_EQ(file->require("blk.0.ffn_up.weight", 256, 64).n_rows, 2 * 128);
}

TEST(Gguf, RopeFrequencyDivisorsOfLlama31AreRead) {
  const auto file = open_tiny("tiny-l31-f32");
  const std::vector<float>& divisors = file->config().rope_freq_divisors;
  // Llama 3.1's formula with factor 8, low_freq_factor 1, high_freq_factor 4, original context
  // length 64, theta 1e4 and head_dim 16 gives these values.
  const float expected[] = {1, 1.293976f, 7.667385f, 8, 8, 8, 8, 8};
  ASSERT_EQ(divisors.size(), std::size(expected));
  for (size_t i = 0; i < divisors.size(); ++i) EXPECT_NEAR(divisors[i], expected[i], 1e-5f) << i;
}

TEST(Gguf, HeadDimAndRotatedDimsComeFromTheirKeys) {
  EXPECT_EQ(open_tiny("tiny-hd-f32")->config().shape.head_dim, 32);
  EXPECT_EQ(open_tiny("tiny-hd-f32")->config().n_rot, 32);
  EXPECT_EQ(open_tiny("tiny-rot-f32")->config().shape.head_dim, 16);
  EXPECT_EQ(open_tiny("tiny-rot-f32")->config().n_rot, 8);
}

TEST(Gguf, ReadsTheTokenizer) {
  const auto file = open_tiny("tiny-9-q4_1");
  const TokenizerData& data = file->tokenizer();
  EXPECT_EQ(data.model, "gpt2");
  EXPECT_EQ(data.pre, "gpt-2");
  ASSERT_EQ(data.tokens.size(), 512u);
  ASSERT_EQ(data.types.size(), 512u);
  EXPECT_EQ(data.tokens[1], "<|im_start|>");
  EXPECT_EQ(data.types[1], TokenType::kControl);
  EXPECT_EQ(data.types[3], TokenType::kUserDefined);
  EXPECT_EQ(data.types[5], TokenType::kNormal);
  EXPECT_EQ(data.merges.size(), 251u);
  EXPECT_EQ(data.bos_id, 1);
  EXPECT_EQ(data.eos_id, 2);
  EXPECT_EQ(data.unk_id, 0);
  EXPECT_EQ(data.pad_id, 2);
  EXPECT_EQ(data.extra_eog_ids, std::vector<int32_t>{0});  // <|endoftext|>, by name
  EXPECT_FALSE(data.add_bos);
  EXPECT_EQ(data.chat_template.substr(0, 6), "{% for");
}

TEST(Gguf, TensorsLieWhereTheFileSaysTheyDo) {
  const auto file = open_tiny("tiny-tp-q8_0");
  for (const Tensor& tensor : file->tensors()) {
    EXPECT_EQ(file->find(tensor.name), &tensor);
    EXPECT_EQ(tensor.file_offset % 32, 0u) << tensor.name;
    EXPECT_EQ(tensor.data - tensor.file_offset,
              file->tensors()[0].data - file->tensors()[0].file_offset);
  }
  EXPECT_EQ(file->find("blk.2.attn_q.weight"), nullptr);
}

TEST(Gguf, RequireNamesTheTensorAndBothShapes) {
  const auto file = open_tiny("tiny-9-f32");
  try {
    file->require("blk.0.attn_k.weight", 288, 288);
    FAIL() << "accepted a wrong shape";
  } catch (const LoadError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("'blk.0.attn_k.weight' at offset "), std::string::npos) << message;
    EXPECT_NE(message.find("[288, 96], the model needs [288, 288]"), std::string::npos) << message;
  }
}

// The number of whole pages of [data, data + n_bytes) that are in this process's memory now.
int64_t resident_pages(const std::byte* data, int64_t n_bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = (reinterpret_cast<uintptr_t>(data) + page - 1) / page;
  const uintptr_t last =
      (reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(n_bytes)) / page;
  std::vector<uint64_t> entries(last - first);
  const size_t wanted = entries.size() * sizeof(uint64_t);
  const int fd = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  const ssize_t got =
      ::pread(fd, entries.data(), wanted, static_cast<off_t>(first * sizeof(uint64_t)));
  ::close(fd);
  EXPECT_EQ(got, static_cast<ssize_t>(wanted));
  return std::count_if(entries.begin(), entries.end(),
                       [](uint64_t entry) { return (entry >> 63) != 0; });  // present
}

TEST(Gguf, ReleasedPagesLeaveTheProcessAndCanBeReadAgain) {
  const auto file = open_tiny("tiny-9-f32");
  const Tensor& tensor = *file->find("blk.0.ffn_up.weight");
  const auto sum = [&] {
    uint64_t total = 0;
    for (int64_t i = 0; i < tensor.bytes(); ++i) total += static_cast<uint64_t>(tensor.data[i]);
    return total;
  };
  const uint64_t before = sum();
  EXPECT_GT(resident_pages(tensor.data, tensor.bytes()), 100);
  file->release(tensor.data, tensor.bytes());
  EXPECT_EQ(resident_pages(tensor.data, tensor.bytes()), 0);
  EXPECT_EQ(sum(), before);
}

TEST(Gguf, AModelBuiltHereIsValid) {
  const ModelConfig config = config_of(GgufBuilder::tiny_llama());
  EXPECT_EQ(config.shape.head_dim, 16);
  EXPECT_EQ(config.shape.vocab_size, 8);
  EXPECT_TRUE(config.tied_embeddings);
}

TEST(Gguf, Version2IsTheSameFormat) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.version = 2;
  EXPECT_EQ(config_of(builder).n_layers(), 1);
}

TEST(Gguf, AbsentKeysMeanTheirDefaults) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.remove_key("llama.attention.head_count_kv");  // every query head then has a KV head
  builder.tensor("blk.0.attn_k.weight") = {"blk.0.attn_k.weight", {32, 32}, 0, 4096, {}};
  builder.tensor("blk.0.attn_v.weight") = {"blk.0.attn_v.weight", {32, 32}, 0, 4096, {}};
  builder.remove_key("tokenizer.ggml.token_type");
  const ModelConfig config = config_of(builder);
  EXPECT_EQ(config.shape.n_kv_heads, 2);
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_EQ(config.n_rot, 16);
  const TokenizerData data = tokenizer_of(builder);
  EXPECT_EQ(data.types, std::vector<TokenType>(8, TokenType::kNormal));
  EXPECT_EQ(data.bos_id, -1);
  EXPECT_EQ(data.chat_template, "");
}

TEST(Gguf, IntegersOfAnyWidthAreTaken) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_u64("llama.block_count", 1);
  builder.set_i32("llama.context_length", 256);
  builder.set_raw("llama.attention.head_count", 0, {std::byte{2}});  // uint8
  EXPECT_EQ(config_of(builder).context_length, 256);
}

TEST(Gguf, LinearRopeScalingDividesEveryFrequency) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_string("llama.rope.scaling.type", "linear");
  builder.set_f32("llama.rope.scaling.factor", 4.0f);
  EXPECT_EQ(config_of(builder).rope_freq_divisors, std::vector<float>(8, 4.0f));
  builder.remove_key("llama.rope.scaling.type");  // linear is the default kind
  EXPECT_EQ(config_of(builder).rope_freq_divisors, std::vector<float>(8, 4.0f));
  builder.set_string("llama.rope.scaling.type", "none");
  EXPECT_TRUE(config_of(builder).rope_freq_divisors.empty());
}

TEST(Gguf, AWindowIsThatOfEveryLayer) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_u32("llama.attention.sliding_window", 64);
  EXPECT_EQ(config_of(builder).layers, std::vector<LayerConfig>{{.window = 64}});
}

TEST(Gguf, AWindowIsRefusedWhereItIsNotThatOfEveryLayer) {
  GgufBuilder builder = GgufBuilder::tiny_llama("qwen2");
  builder.set_u32("qwen2.attention.sliding_window", 64);
  const std::string message = refusal(builder);
  for (const char* part : {"'qwen2.attention.sliding_window'", "64", "128", "qwen2 models"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
}

TEST(Gguf, AWindowThatNeverBitesIsNoWindow) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_u32("llama.attention.sliding_window", 128);
  EXPECT_EQ(config_of(builder).context_length, 128);
  EXPECT_EQ(config_of(builder).layers, std::vector<LayerConfig>{{}});
}

TEST(Gguf, TurnsEndAtEveryTokenThatIsKnownToEndThem) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_strings("tokenizer.ggml.tokens",
                      {"<s>", "</s>", "<|eot_id|>", "<|end|>", "a", "<|im_end|>", "b", "c"});
  builder.set_i32s("tokenizer.ggml.token_type", {3, 3, 3, 3, 1, 1, 1, 1});
  builder.set_u32("tokenizer.ggml.eot_token_id", 6);
  builder.set_u32("tokenizer.ggml.eom_token_id", 7);
  const TokenizerData data = tokenizer_of(builder);
  EXPECT_EQ(data.eos_id, 1);
  // Token 5 is spelt like an end token, but is plain text in this vocabulary.
  EXPECT_EQ(data.extra_eog_ids, (std::vector<int32_t>{6, 7, 2, 3}));
}

TEST(Gguf, Llama3AddsBosUnlessTheFileSaysNo) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  EXPECT_FALSE(tokenizer_of(builder).add_bos);
  for (const char* name : {"llama3", "llama-v3", "llama-bpe"}) {  // every name of the family
    builder.set_string("tokenizer.ggml.pre", name);
    EXPECT_TRUE(tokenizer_of(builder).add_bos) << name;
  }
  builder.set_bool("tokenizer.ggml.add_bos_token", false);
  EXPECT_FALSE(tokenizer_of(builder).add_bos);
}

TEST(Gguf, ReadsASentencePieceVocabularyWithItsDefaults) {
  GgufBuilder builder = GgufBuilder::tiny_spm();
  const TokenizerData data = tokenizer_of(builder);
  EXPECT_EQ(data.model, "llama");
  EXPECT_EQ(data.scores, (std::vector<float>{0, 0, 0, -2, -3, -1, -4, 0}));
  EXPECT_EQ(data.types[0], TokenType::kUnknown);
  EXPECT_TRUE(data.add_space_prefix);
  EXPECT_FALSE(data.remove_extra_whitespaces);
  EXPECT_TRUE(data.add_bos);
  EXPECT_EQ(data.unk_id, 0);
  EXPECT_EQ(data.bos_id, 1);
  EXPECT_EQ(data.eos_id, 2);
  EXPECT_EQ(data.pad_id, -1);
  EXPECT_TRUE(data.rstrip_ids.empty());
  EXPECT_TRUE(make_tokenizer(data));
  builder.set_bool("tokenizer.ggml.add_space_prefix", false);
  builder.set_bool("tokenizer.ggml.remove_extra_whitespaces", true);
  builder.set_bool("tokenizer.ggml.add_bos_token", false);
  builder.set_u32("tokenizer.ggml.bos_token_id", 2);
  const TokenizerData other = tokenizer_of(builder);
  EXPECT_FALSE(other.add_space_prefix);
  EXPECT_TRUE(other.remove_extra_whitespaces);
  EXPECT_FALSE(other.add_bos);
  EXPECT_EQ(other.bos_id, 2);
}

TEST(Gguf, TheSpecialTokensOfPhi3StripWhiteSpace) {
  GgufBuilder builder = GgufBuilder::tiny_spm();
  builder.set_strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a", "<|endoftext|>",
                                                "<|assistant|>", "\u2581", "b"});
  builder.set_i32s("tokenizer.ggml.token_type", {3, 3, 4, 1, 3, 3, 1, 1});  // as Phi-3's files
  EXPECT_TRUE(tokenizer_of(builder).rstrip_ids.empty());
  EXPECT_EQ(tokenizer_of(builder).extra_eog_ids, std::vector<int32_t>{4});
  builder.set_string("general.name", "A Phi-3.5 of somebody");
  EXPECT_EQ(tokenizer_of(builder).rstrip_ids, (std::vector<int32_t>{2, 5}));
  EXPECT_EQ(tokenizer_of(builder).extra_eog_ids, (std::vector<int32_t>{4, 5}))
      << "<|assistant|> ends a turn too";
}

TEST(Gguf, NestedArraysOfUnreadKeysAreSteppedOver) {
  Bytes nested;
  append_number<uint32_t>(nested, 9);  // array of arrays
  append_number<uint64_t>(nested, 2);
  for (int i = 0; i < 2; ++i) {
    append_number<uint32_t>(nested, 8);
    append_number<uint64_t>(nested, 1);
    append_string(nested, "text");
  }
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_raw("general.notes", 9, nested);
  EXPECT_EQ(config_of(builder).n_layers(), 1);
}

}  // namespace
}  // namespace lockstep::testing
