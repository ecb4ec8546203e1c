// lockstep inspect MODEL: prints the model's dimensions, its bytes by weight type, and how it would
// be sharded.
#include <cstdio>
#include <map>

#include "clients/cli/commands.h"
#include "common/service/config/config.h"
#include "node/model/files/open_model_file.h"
#include "node/model/model_file.h"
#include "node/model/rank/possible_shards.h"

namespace lockstep {
namespace {

struct InspectConfig {
  std::string model;
  bool tensors = false;
  template <class V>
  void visit_fields(V& v) {
    v(model, "model", "PATH", "Path of the model file (GGUF).");
    v(tensors, "tensors", "", "List every tensor.");
  }
};

void print_config(const ModelConfig& model) {
  const ModelShape& shape = model.shape;
  std::printf("name            %s\narchitecture    %s\n", model.name.c_str(),
              model.architecture.c_str());
  std::printf("layers          %d\nhidden_dim      %ld\n", model.n_layers,
              static_cast<long>(shape.hidden_dim));
  std::printf("heads           %d, of %d KV heads, head_dim %d\n", shape.n_heads, shape.n_kv_heads,
              shape.head_dim);
  std::printf("ffn_dim         %ld\nvocab_size      %ld%s\n", static_cast<long>(shape.ffn_dim),
              static_cast<long>(shape.vocab_size), model.tied_embeddings ? " (tied)" : "");
  std::printf("context_length  %ld\nrope            theta %g, %d dims, %s\n",
              static_cast<long>(model.context_length), model.rope_theta, model.n_rot,
              model.rope_style == RopeStyle::kNeighbours ? "neighbours" : "halves");
}

void print_types(const ModelFile& file) {
  struct Total {
    int n = 0;
    int64_t values = 0, bytes = 0;
  };
  std::map<std::string, Total> totals;
  Total all;
  for (const Tensor& tensor : file.tensors()) {
    for (Total* total : {&totals[to_string(tensor.type)], &all}) {
      ++total->n;
      total->values += tensor.n_rows * tensor.n_cols;
      total->bytes += tensor.bytes();
    }
  }
  for (const auto& [type, total] : totals) {
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
  print_config(file->config());
  print_types(*file);
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
