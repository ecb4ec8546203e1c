// lockstep inspect MODEL: prints the model's dimensions, its bytes by weight type, the bytes of a
// token in the KV cache, and how the model would be sharded; as text or as JSON.
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "clients/cli/commands.h"
#include "common/service/config/config.h"
#include "node/model/files/open_model_file.h"
#include "node/model/kv_dtype.h"
#include "node/model/model_file.h"
#include "node/model/rank/possible_shards.h"
#include "node/model/rank/rank_group.h"

namespace lockstep {
namespace {

struct InspectConfig {
  std::string model;
  std::string kv_cache_dtype = "auto";
  bool tensors = false;
  bool json = false;
  template <class V>
  void visit_fields(V& v) {
    v(model, "model", "PATH", "Path of the model: a GGUF file, or a folder of Hugging Face.");
    v(kv_cache_dtype, "kv_cache_dtype", kKvDtypeNames,
      "Data type of the keys and values in the KV cache.");
    v(tensors, "tensors", "", "List every tensor.");
    v(json, "json", "", "Print a JSON object instead of a table.");
  }
};

void print_config(const ModelConfig& model) {
  const ModelShape& shape = model.shape;
  std::printf("name            %s\narchitecture    %s\n", model.name.c_str(),
              model.architecture.c_str());
  std::printf("layers          %d\nhidden_dim      %ld\n", model.n_layers(),
              static_cast<long>(shape.hidden_dim));
  std::printf("heads           %d, of %d KV heads, head_dim %d\n", shape.n_heads, shape.n_kv_heads,
              shape.head_dim);
  std::printf("ffn_dim         %ld\nvocab_size      %ld%s\n", static_cast<long>(shape.ffn_dim),
              static_cast<long>(shape.vocab_size), model.tied_embeddings ? " (tied)" : "");
  std::printf("context_length  %ld\nrope            theta %g, %d dims, %s\n",
              static_cast<long>(model.context_length), model.rope_theta, model.n_rot,
              model.rope_style == RopeStyle::kNeighbours ? "neighbours" : "halves");
}

struct Total {
  int n = 0;
  int64_t values = 0, bytes = 0;
};

// Sums over the tensors of each weight type, and over all.
std::map<std::string, Total> totals_by_type(const ModelFile& file, Total& all) {
  std::map<std::string, Total> totals;
  for (const Tensor& tensor : file.tensors()) {
    for (Total* total : {&totals[to_string(tensor.type)], &all}) {
      ++total->n;
      total->values += tensor.n_rows * tensor.n_cols;
      total->bytes += tensor.bytes();
    }
  }
  return totals;
}

// Bytes of one token's keys and values in the KV cache of a single rank.
int64_t kv_bytes_per_token(const ModelFile& file, DType kv_dtype) {
  RankGroupConfig one_rank;
  one_rank.kv_dtype = kv_dtype;
  return kv_block_bytes_per_rank(file.config(), one_rank) / one_rank.limits.block_size;
}

void print_types(const ModelFile& file) {
  Total all;
  for (const auto& [type, total] : totals_by_type(file, all)) {
    std::printf("%-15s %d tensors, %.2f MB\n", type.c_str(), total.n,
                static_cast<double>(total.bytes) * 1e-6);
  }
  std::printf("parameters      %ld in %d tensors, %.2f MB\n", static_cast<long>(all.values), all.n,
              static_cast<double>(all.bytes) * 1e-6);
}

void print_sharding(const PossibleShards& shards) {
  std::printf("leaves          attention %d, ffn %d\n", shards.n_attention_leaves,
              shards.n_ffn_leaves);
  std::printf("tensor parallel");
  for (const int n_ranks : shards.tensor_parallel_sizes) std::printf(" %d", n_ranks);
  std::printf("\n");
}

nlohmann::json to_json(const ModelFile& file, DType kv_dtype) {
  const ModelConfig& model = file.config();
  const ModelShape& shape = model.shape;
  const PossibleShards shards = possible_shards(model);
  Total all;
  nlohmann::json types;
  for (const auto& [type, total] : totals_by_type(file, all)) {
    types[type] = {{"tensors", total.n}, {"bytes", total.bytes}};
  }
  return {{"name", model.name},
          {"architecture", model.architecture},
          {"layers", model.n_layers()},
          {"hidden_dim", shape.hidden_dim},
          {"heads", shape.n_heads},
          {"kv_heads", shape.n_kv_heads},
          {"head_dim", shape.head_dim},
          {"ffn_dim", shape.ffn_dim},
          {"vocab_size", shape.vocab_size},
          {"context_length", model.context_length},
          {"parameters", all.values},
          {"weight_bytes", all.bytes},
          {"weight_types", types},
          {"kv_cache_dtype", kv_dtype_name(kv_dtype)},
          {"kv_bytes_per_token", kv_bytes_per_token(file, kv_dtype)},
          {"tensor_parallel_sizes", shards.tensor_parallel_sizes}};
}

}  // namespace

int run_inspect(int argc, const char* const* argv) {
  InspectConfig config;
  ConfigSource source("lockstep inspect", "Shows what a model file holds.");
  source.positional("model");
  source.add(config);
  if (const auto exit_code = source.load(argc, argv)) return *exit_code;
  if (config.model.empty()) {
    std::fputs("lockstep inspect: name a model file\n", stderr);
    return 2;
  }
  const auto file = open_model_file(config.model);
  const DType kv_dtype = kv_dtype_of(config.kv_cache_dtype, *file);
  if (config.json) {
    std::printf("%s\n", to_json(*file, kv_dtype).dump(2).c_str());
    return 0;
  }
  print_config(file->config());
  print_types(*file);
  std::printf("kv cache        %s, %ld bytes a token\n", kv_dtype_name(kv_dtype),
              static_cast<long>(kv_bytes_per_token(*file, kv_dtype)));
  print_sharding(possible_shards(file->config()));
  if (config.tensors) {
    for (const Tensor& tensor : file->tensors()) {
      std::printf("%-40s %-5s %ld x %ld at %lu\n", tensor.name.c_str(), to_string(tensor.type),
                  static_cast<long>(tensor.n_rows), static_cast<long>(tensor.n_cols),
                  static_cast<unsigned long>(tensor.file_offset));
    }
  }
  return 0;
}

}  // namespace lockstep
