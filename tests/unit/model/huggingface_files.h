// HuggingFaceFiles: a tiny model as the files of a folder of Hugging Face, valid but for what a
// test changes: llama of one layer, hidden 32, 2 heads that share 1 KV head, FFN 64, 8 tokens, all
// F32.
#pragma once

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temporary_path.h"

namespace lockstep::testing {

using nlohmann::json;

// A safetensors file with this header. n_data: bytes behind it, all zero.
inline std::string safetensors_bytes(const std::string& header, size_t n_data) {
  const uint64_t n_header = header.size();
  std::string bytes(sizeof n_header, '\0');
  std::memcpy(bytes.data(), &n_header, sizeof n_header);
  return bytes + header + std::string(n_data, '\0');
}

struct HuggingFaceFiles {
  struct Shape {
    const char* name;
    std::vector<int64_t> dims;
  };

  HuggingFaceFiles() {
    const std::string layer = "model.layers.0.";
    const std::vector<std::pair<std::string, std::vector<int64_t>>> shapes = {
        {"model.embed_tokens.weight", {8, 32}},
        {"model.norm.weight", {32}},
        {layer + "input_layernorm.weight", {32}},
        {layer + "self_attn.q_proj.weight", {32, 32}},
        {layer + "self_attn.k_proj.weight", {16, 32}},
        {layer + "self_attn.v_proj.weight", {16, 32}},
        {layer + "self_attn.o_proj.weight", {32, 32}},
        {layer + "post_attention_layernorm.weight", {32}},
        {layer + "mlp.gate_proj.weight", {64, 32}},
        {layer + "mlp.up_proj.weight", {64, 32}},
        {layer + "mlp.down_proj.weight", {32, 64}}};
    for (const auto& [name, shape] : shapes) add(name, shape);
    config = {{"architectures", {"LlamaForCausalLM"}},
              {"model_type", "llama"},
              {"hidden_size", 32},
              {"intermediate_size", 64},
              {"num_hidden_layers", 1},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 1},
              {"max_position_embeddings", 128},
              {"rms_norm_eps", 1e-5},
              {"rope_theta", 10000.0},
              {"rope_scaling", nullptr},
              {"vocab_size", 8},
              {"hidden_act", "silu"},
              {"tie_word_embeddings", true}};
    const json byte_level = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
    tokenizer = {{"version", "1.0"},
                 {"added_tokens",
                  {{{"id", 0}, {"content", "<|im_start|>"}, {"special", true}},
                   {{"id", 1}, {"content", "<|im_end|>"}, {"special", true}}}},
                 {"normalizer", nullptr},
                 {"pre_tokenizer", byte_level},
                 {"post_processor", nullptr},
                 {"decoder", byte_level},
                 {"model",
                  {{"type", "BPE"},
                   {"vocab", {{"a", 2}, {"b", 3}, {"c", 4}, {"d", 5}, {"ab", 6}, {"cd", 7}}},
                   {"merges", {"a b", "c d"}}}}};
    tokenizer_config = {{"bos_token", "<|im_start|>"}, {"eos_token", "<|im_end|>"}};
  }

  // A further tensor, of zeros.
  void add(const std::string& name, const std::vector<int64_t>& shape) {
    size_t n_bytes = sizeof(float);
    for (const int64_t dim : shape) n_bytes *= static_cast<size_t>(dim);
    header[name] = {
        {"dtype", "F32"}, {"shape", shape}, {"data_offsets", {n_data, n_data + n_bytes}}};
    n_data += n_bytes;
  }

  std::string weights() const { return safetensors_bytes(header.dump(), n_data); }

  void write(const TemporaryPath& folder) const {
    folder.write_below("/config.json", config.dump());
    folder.write_below("/tokenizer.json", tokenizer.dump());
    folder.write_below("/tokenizer_config.json", tokenizer_config.dump());
    if (generation_config) folder.write_below("/generation_config.json", generation_config->dump());
    folder.write_below("/model.safetensors", weights());
  }

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  size_t n_data = 0;
  json config, tokenizer, tokenizer_config;
  std::optional<json> generation_config;
};

// One fault in otherwise valid files, and what the LoadError must contain.
struct HuggingFaceFault {
  const char* name;
  std::function<void(HuggingFaceFiles&)> make;
  std::vector<std::string> said;
};

inline void PrintTo(const HuggingFaceFault& fault, std::ostream* out) { *out << fault.name; }

}  // namespace lockstep::testing
