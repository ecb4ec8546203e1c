#include "node/model/files/gguf/model_tensors.h"

#include <unordered_set>

#include "node/model/files/gguf/gguf_reader.h"

namespace lockstep {
namespace {

class TensorCheck {
 public:
  explicit TensorCheck(const ModelFile& file) : file_(file), config_(file.config()) {}

  void run() {
    const int64_t hidden = config_.shape.hidden_dim;
    const int64_t vocab = config_.shape.vocab_size;
    matrix("token_embd.weight", vocab, hidden);
    vector("output_norm.weight", hidden);
    if (!config_.tied_embeddings) matrix("output.weight", vocab, hidden);
    if (file_.find("rope_freqs.weight") != nullptr) vector("rope_freqs.weight", config_.n_rot / 2);
    for (int layer = 0; layer < config_.n_layers; ++layer) check_layer(layer);
    refuse_leftovers();
  }

 private:
  void check_layer(int layer) {
    const ModelShape& shape = config_.shape;
    const int64_t q_dim = int64_t{shape.n_heads} * shape.head_dim;
    const int64_t kv_dim = int64_t{shape.n_kv_heads} * shape.head_dim;
    const std::string blk = "blk." + std::to_string(layer) + ".";
    vector(blk + "attn_norm.weight", shape.hidden_dim);
    matrix(blk + "attn_q.weight", q_dim, shape.hidden_dim);
    matrix(blk + "attn_k.weight", kv_dim, shape.hidden_dim);
    matrix(blk + "attn_v.weight", kv_dim, shape.hidden_dim);
    if (config_.qkv_bias) {
      vector(blk + "attn_q.bias", q_dim);
      vector(blk + "attn_k.bias", kv_dim);
      vector(blk + "attn_v.bias", kv_dim);
    }
    matrix(blk + "attn_output.weight", shape.hidden_dim, q_dim);
    vector(blk + "ffn_norm.weight", shape.hidden_dim);
    matrix(blk + "ffn_gate.weight", shape.ffn_dim, shape.hidden_dim);
    matrix(blk + "ffn_up.weight", shape.ffn_dim, shape.hidden_dim);
    matrix(blk + "ffn_down.weight", shape.hidden_dim, shape.ffn_dim);
  }

  void matrix(const std::string& name, int64_t n_rows, int64_t n_cols) {
    used_.insert(file_.require(name, n_rows, n_cols).name);
  }

  void vector(const std::string& name, int64_t n) {
    const Tensor& tensor = file_.require(name, 1, n);
    if (tensor.type != WeightType::kF32) {
      gguf::fail("tensor ", gguf::quoted(name), " at offset ", tensor.file_offset, " has type ",
                 to_string(tensor.type), "; norms and biases must be F32");
    }
    used_.insert(tensor.name);
  }

  void refuse_leftovers() const {
    for (const Tensor& tensor : file_.tensors()) {
      if (used_.count(tensor.name) > 0) continue;
      gguf::fail("tensor ", gguf::quoted(tensor.name), " at offset ", tensor.file_offset,
                 " is not part of a ", config_.architecture, " model of ", config_.n_layers,
                 " layers");
    }
  }

  const ModelFile& file_;
  const ModelConfig& config_;
  std::unordered_set<std::string_view> used_;
};

}  // namespace

void check_model_tensors(const ModelFile& file) { TensorCheck(file).run(); }

}  // namespace lockstep
