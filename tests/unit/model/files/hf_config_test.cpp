// config.json: what is read from it, in the spellings of older and newer files. What this version
// cannot run exactly, and what contradicts the tensors, is refused with the key named.
#include "node/model/files/huggingface/hf_config.h"

#include <gtest/gtest.h>

#include "common/load_error.h"
#include "node/model/files/huggingface/hf_rope.h"
#include "node/model/files/huggingface/safetensors.h"
#include "tests/unit/model/huggingface_files.h"

namespace lockstep::testing {
namespace {

ModelConfig config_of(const HuggingFaceFiles& files) {
  const std::string bytes = files.weights();
  const std::vector<Tensor> tensors = hf::read_safetensors(std::as_bytes(std::span(bytes)));
  return hf::read_config(hf::JsonKeys("config.json", files.config), tensors, "tiny");
}

std::string refusal(const HuggingFaceFiles& files) {
  try {
    config_of(files);
    return "";
  } catch (const LoadError& error) {
    return error.what();
  }
}

// The files with other keys in config.json.
HuggingFaceFiles with(const json& changes) {
  HuggingFaceFiles files;
  files.config.update(changes);
  return files;
}

TEST(HuggingFaceConfig, ReadsALlama) {
  const ModelConfig model = config_of(HuggingFaceFiles());
  EXPECT_EQ(model.architecture, "llama");
  EXPECT_EQ(model.name, "tiny");
  EXPECT_EQ(model.shape.hidden_dim, 32);
  EXPECT_EQ(model.shape.n_heads, 2);
  EXPECT_EQ(model.shape.n_kv_heads, 1);
  EXPECT_EQ(model.shape.head_dim, 16);
  EXPECT_EQ(model.shape.ffn_dim, 64);
  EXPECT_EQ(model.shape.vocab_size, 8);
  EXPECT_EQ(model.layers, std::vector<LayerConfig>(1));
  EXPECT_EQ(model.context_length, 128);
  EXPECT_EQ(model.rms_eps, 1e-5f);
  EXPECT_EQ(model.rope_theta, 10000);
  EXPECT_EQ(model.n_rot, 16);
  EXPECT_EQ(model.rope_style, RopeStyle::kNeighbours);
  EXPECT_TRUE(model.rope_freq_divisors.empty());
  EXPECT_TRUE(model.tied_embeddings);
  EXPECT_FALSE(model.qkv_bias);
  EXPECT_FALSE(model.qk_norm);
}

TEST(HuggingFaceConfig, KeysThatMayBeAbsentOrNullFollowFromTheOthers) {
  for (const char* key : {"intermediate_size", "vocab_size", "hidden_act", "tie_word_embeddings",
                          "architectures", "rope_theta", "rope_scaling"}) {
    HuggingFaceFiles files;
    files.config.erase(key);
    EXPECT_EQ(refusal(files), "") << key;
    files.config[key] = nullptr;
    EXPECT_EQ(refusal(files), "") << key;
    EXPECT_EQ(config_of(files).shape.ffn_dim, 64);
  }
  EXPECT_EQ(config_of(with({{"head_dim", nullptr}})).shape.head_dim, 16);
}

TEST(HuggingFaceConfig, RopeParametersAreTheNewerSpelling) {
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 64}};
  HuggingFaceFiles older = with({{"rope_theta", 5e5}, {"rope_scaling", llama3}});
  HuggingFaceFiles newer = with({{"rope_parameters", llama3}});
  newer.config.erase("rope_theta");
  newer.config["rope_parameters"]["rope_theta"] = 5e5;
  for (const HuggingFaceFiles& files : {older, newer}) {
    const ModelConfig model = config_of(files);
    EXPECT_EQ(model.rope_theta, 5e5);
    EXPECT_EQ(model.rope_freq_divisors.size(), 8u);
    EXPECT_EQ(model.rope_freq_divisors.front(), 1.0f);
    EXPECT_EQ(model.rope_freq_divisors.back(), 8.0f);
  }
  EXPECT_EQ(config_of(with({{"rope_parameters", {{"rope_theta", 1e4}, {"rope_type", "default"}}}}))
                .rope_freq_divisors.size(),
            0u);
  EXPECT_EQ(
      config_of(with({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}})).rope_freq_divisors,
      std::vector<float>(8, 2.0f));
}

// The divisors of heads of 128 of Llama 3.1, from its formula.
TEST(HuggingFaceConfig, TheDivisorsOfLlama31) {
  const std::vector<float> divisors = hf::llama3_divisors({.factor = 8}, 5e5, 128);
  ASSERT_EQ(divisors.size(), 64u);
  for (size_t i = 0; i <= 28; ++i) EXPECT_EQ(divisors[i], 1.0f) << i;
  const double between[] = {1.207484, 1.553415, 2.026313, 2.694530, 3.684253, 5.257327};
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(divisors[29 + i], between[i], 1e-6) << i;
  for (size_t i = 35; i < 64; ++i) EXPECT_EQ(divisors[i], 8.0f) << i;
}

TEST(HuggingFaceConfig, AWindowCountsOnlyIfItIsUsedAndBelowTheContext) {
  const auto window_of = [](const json& changes) {
    return config_of(with(changes)).layers.front().window;
  };
  EXPECT_EQ(window_of({{"model_type", "mistral"}, {"sliding_window", 20}}), 20);
  EXPECT_EQ(window_of({{"model_type", "mistral"}, {"sliding_window", nullptr}}), 0);
  EXPECT_EQ(window_of({{"model_type", "mistral"}, {"sliding_window", 128}}), 0);
  HuggingFaceFiles qwen = with({{"model_type", "qwen2"}, {"sliding_window", 20}});
  for (const char part : {'q', 'k', 'v'}) {
    qwen.add(std::string("model.layers.0.self_attn.") + part + "_proj.bias",
             {part == 'q' ? 32 : 16});
  }
  EXPECT_EQ(config_of(qwen).layers.front().window, 0);
  EXPECT_TRUE(config_of(qwen).qkv_bias);
  qwen.config["use_sliding_window"] = false;
  EXPECT_EQ(refusal(qwen), "");
  qwen.config["use_sliding_window"] = true;
  EXPECT_NE(refusal(qwen).find("key 'sliding_window' is 20"), std::string::npos) << refusal(qwen);
  qwen.config["max_window_layers"] = 1;
  EXPECT_EQ(refusal(qwen), "") << "the windows begin behind the last layer";
}

TEST(HuggingFaceConfig, SmolLM3SaysWhichLayersHaveNoRope) {
  HuggingFaceFiles files = with({{"model_type", "smollm3"}, {"no_rope_layers", {0}}});
  EXPECT_FALSE(config_of(files).layers.front().rotates);
  files.config["no_rope_layers"] = {1};
  EXPECT_TRUE(config_of(files).layers.front().rotates);
  files.config["no_rope_layers"] = nullptr;
  EXPECT_TRUE(config_of(files).layers.front().rotates);
  files.config["no_rope_layer_interval"] = 1;
  EXPECT_FALSE(config_of(files).layers.front().rotates);
  EXPECT_EQ(config_of(files).rope_style, RopeStyle::kNeighbours);
}

TEST(HuggingFaceConfig, AttentionBiasGivesBiases) {
  HuggingFaceFiles files = with({{"attention_bias", true}});
  EXPECT_NE(refusal(files).find("asks for a bias of q, k and v, but tensor "
                                "'model.layers.0.self_attn.q_proj.bias' is missing"),
            std::string::npos)
      << refusal(files);
  files.add("model.layers.0.self_attn.q_proj.bias", {32});
  EXPECT_TRUE(config_of(files).qkv_bias);
  files.add("model.layers.0.self_attn.o_proj.bias", {32});
  EXPECT_NE(refusal(files).find("a bias of o_proj is not supported"), std::string::npos);
}

// A key is removed if its value is null here.
struct Fault {
  const char* name;
  json changes;
  const char* said;
};

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all = {
      {"noType", {{"model_type", nullptr}}, "key 'model_type' is missing"},
      {"otherType", {{"model_type", "mamba"}}, "'mamba': this model type is not supported"},
      {"mixture", {{"model_type", "qwen3_moe"}}, "'qwen3_moe'"},
      {"typeIsANumber", {{"model_type", 4}}, "key 'model_type' is an integer, must be a string"},
      {"unknownKey", {{"logit_scale", 0.5}}, "key 'logit_scale' is not supported"},
      {"experts", {{"num_local_experts", 8}}, "key 'num_local_experts'"},
      {"quantised",
       {{"quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}}},
       "key 'quantization_config' ('gptq')"},
      {"notCausal", {{"architectures", {"LlamaForSequenceClassification"}}}, "'architectures'"},
      {"activation", {{"hidden_act", "gelu"}}, "key 'hidden_act' is 'gelu'"},
      {"mlpBias", {{"mlp_bias", true}}, "key 'mlp_bias' is true"},
      {"interleaved", {{"rope_interleaved", true}}, "key 'rope_interleaved' is true"},
      {"noHidden", {{"hidden_size", nullptr}}, "key 'hidden_size' is missing"},
      {"hiddenIsAFraction", {{"hidden_size", 32.5}}, "key 'hidden_size' is a number with"},
      {"hiddenIsHuge", {{"hidden_size", 1ull << 63}}, "9223372036854775808"},
      {"negative", {{"hidden_size", -32}}, "key 'hidden_size' is -32"},
      {"otherHidden",
       {{"hidden_size", 64}},
       "tensor 'model.embed_tokens.weight' has 32 columns, but config.json says 64 (hidden_size)"},
      {"otherVocabulary",
       {{"vocab_size", 9}},
       "tensor 'model.embed_tokens.weight' has 8 rows, but config.json says 9 (vocab_size)"},
      {"otherFfn",
       {{"intermediate_size", 65}},
       "'model.layers.0.mlp.gate_proj.weight' has 64 rows, but config.json says 65 "
       "(intermediate_size)"},
      {"otherHeads",
       {{"num_attention_heads", 4}, {"head_dim", 16}},
       "'model.layers.0.self_attn.q_proj.weight' has 32 rows, but config.json says 64 "
       "(num_attention_heads * head_dim)"},
      {"otherKvHeads",
       {{"num_key_value_heads", 2}},
       "'model.layers.0.self_attn.k_proj.weight' has 16 rows, but config.json says 32 "
       "(num_key_value_heads * head_dim)"},
      {"unevenHeads", {{"num_attention_heads", 3}}, "3 heads do not divide"},
      {"unevenGroups",
       {{"num_attention_heads", 8}, {"num_key_value_heads", 3}},
       "8 heads cannot share 3 KV heads"},
      {"wideHeads", {{"head_dim", 257}}, "key 'head_dim' is 257"},
      {"noEps", {{"rms_norm_eps", nullptr}}, "key 'rms_norm_eps' is missing"},
      {"epsTwo", {{"rms_norm_eps", 2}}, "key 'rms_norm_eps' is 2"},
      {"noContext", {{"max_position_embeddings", nullptr}}, "'max_position_embeddings' is missing"},
      {"noLayers", {{"num_hidden_layers", 0}}, "key 'num_hidden_layers' is 0"},
      {"manyLayers", {{"num_hidden_layers", 4000000000}}, "4000000000"},
      {"tied", {{"tie_word_embeddings", false}}, "but tensor 'lm_head.weight' is missing"},
      {"theta", {{"rope_theta", 0}}, "key 'rope_theta' is 0"},
      {"partly", {{"partial_rotary_factor", 0.5}}, "key 'partial_rotary_factor' is 0.5"},
      {"yarn", {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4}}}}, "'yarn'"},
      {"longrope", {{"rope_scaling", {{"type", "longrope"}}}}, "'longrope'"},
      {"dynamic", {{"rope_scaling", {{"type", "dynamic"}, {"factor", 4}}}}, "'dynamic'"},
      {"unknownRopeKey",
       {{"rope_scaling", {{"type", "linear"}, {"factor", 4}, {"attention_factor", 2}}}},
       "config.json: rope_scaling: key 'attention_factor' is not supported"},
      {"factorZero", {{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, "'factor' is 0"},
      {"noFactor", {{"rope_scaling", {{"type", "linear"}}}}, "key 'factor' is missing"},
      {"typesDiffer",
       {{"rope_scaling", {{"type", "linear"}, {"rope_type", "default"}, {"factor", 2}}}},
       "contradict each other"},
      {"thetasDiffer",
       {{"rope_parameters", {{"rope_theta", 5e5}, {"rope_type", "default"}}}},
       "contradict each other"},
      {"bothSpellings",
       {{"rope_parameters", {{"rope_theta", 1e4}}},
        {"rope_scaling", {{"type", "linear"}, {"factor", 2}}}},
       "contradict each other"},
      {"llama3WithoutLength",
       {{"rope_scaling",
         {{"rope_type", "llama3"},
          {"factor", 8},
          {"low_freq_factor", 1},
          {"high_freq_factor", 4}}}},
       "key 'original_max_position_embeddings' is missing"},
      {"llama3Reversed",
       {{"rope_scaling",
         {{"rope_type", "llama3"},
          {"factor", 8},
          {"low_freq_factor", 4},
          {"high_freq_factor", 4},
          {"original_max_position_embeddings", 64}}}},
       "must be below high_freq_factor"},
      {"windowOfALlama", {{"sliding_window", 20}}, "key 'sliding_window' is 20"},
      {"slidingLayer", {{"layer_types", {"sliding_attention"}}, {"sliding_window", nullptr}}, ""},
      {"otherLayer", {{"layer_types", {"linear_attention"}}}, "linear_attention"},
      {"fewLayerTypes", {{"layer_types", json::array()}}, "has 0 entries for 1 layers"},
      {"noRopeOfALlama", {{"no_rope_layers", {1}}}, "key 'no_rope_layers' is not supported"},
      {"fewFlags",
       {{"model_type", "smollm3"}, {"no_rope_layers", json::array()}},
       "has 0 entries for 1 layers"},
      {"otherFlag", {{"model_type", "smollm3"}, {"no_rope_layers", {2}}}, "entry 0"},
      {"fullLayerWithAWindow",
       {{"model_type", "mistral"}, {"sliding_window", 20}, {"layer_types", {"full_attention"}}},
       "for a layer with a window"},
  };
  return all;
}

TEST(HuggingFaceConfig, EachFaultIsRefusedByName) {
  for (const Fault& fault : faults()) {
    HuggingFaceFiles files;
    for (const auto& [key, value] : fault.changes.items()) {
      files.config[key] = value;
      if (value.is_null()) files.config.erase(key);
    }
    const std::string message = refusal(files);
    EXPECT_NE(message.find(fault.said), std::string::npos)
        << fault.name << ": no \"" << fault.said << "\" in: " << message;
    EXPECT_LT(message.size(), 300u);
  }
}

}  // namespace
}  // namespace lockstep::testing
