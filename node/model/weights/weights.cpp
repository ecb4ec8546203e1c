#include "node/model/weights/weights.h"

#include <functional>
#include <string>

#include "common/check.h"
#include "common/log.h"
#include "node/model/weights/arena.h"
#include "node/model/weights/weight_loader.h"

namespace lockstep {

namespace {

// A slice of a tensor's rows that goes into a Matrix, with the bias of those rows.
struct RowsOf {
  RowSlice weight;
  const Tensor* bias = nullptr;
};

// Lays out a rank's weights and fills them. The same code walks the layout twice: first over an
// arena that only counts, then over the allocated one.
class Assembler {
 public:
  Assembler(const ModelFile& file, const ShardPlan& plan, int rank, PackedLayout layout,
            Arena arena, WeightLoader* loader, WeightWriter* writer)
      : file_(file),
        model_(file.config()),
        shape_(model_.shape),
        shard_(plan.ranks[static_cast<size_t>(rank)]),
        layout_(layout),
        arena_(arena),
        loader_(loader),
        writer_(writer) {}

  void assemble(RankWeights& out) {
    const Tensor& embedding = file_.require("token_embd.weight", shape_.vocab_size, hidden());
    Matrix table = rows({{vocab_slice(embedding), nullptr}});
    out.embedding = table.parts.front().weights;
    for (int layer = 0; layer < model_.n_layers; ++layer) out.layers.push_back(this->layer(layer));
    out.output_norm = norm("output_norm.weight");
    if (model_.tied_embeddings) {
      out.head = std::move(table);
    } else {
      const Tensor& head = file_.require("output.weight", shape_.vocab_size, hidden());
      out.head = rows({{vocab_slice(head), nullptr}});
    }
  }

  int64_t bytes() const { return arena_.bytes(); }

 private:
  int64_t hidden() const { return shape_.hidden_dim; }

  LayerWeights layer(int idx) {
    const std::string prefix = str("blk.", idx, ".");
    LayerWeights w;
    w.attention_norm = norm(prefix + "attn_norm.weight");
    w.qkv = rows(
        {query_rows(prefix + "attn_q"), kv_rows(prefix + "attn_k"), kv_rows(prefix + "attn_v")});
    w.o = columns(prefix + "attn_output.weight", int64_t{shape_.n_heads} * shape_.head_dim,
                  shard_.attention);
    w.ffn_norm = norm(prefix + "ffn_norm.weight");
    w.gate_up = rows({ffn_rows(prefix + "ffn_gate"), ffn_rows(prefix + "ffn_up")});
    w.down = columns(prefix + "ffn_down.weight", shape_.ffn_dim, shard_.ffn);
    return w;
  }

  // A unit is never split between ranks: the vocabulary is cut into panels, q into attention
  // leaves, k and v into heads, gate and up into FFN leaves.
  RowSlice vocab_slice(const Tensor& tensor) const {
    return {&tensor, shard_.first_vocab, shard_.n_vocab, kPanelRows};
  }
  RowsOf query_rows(const std::string& name) const {
    const int64_t d = shape_.head_dim;
    const int64_t heads_per_leaf = shape_.n_heads / shard_.attention.n_total;
    return {{&file_.require(name + ".weight", shape_.n_heads * d, hidden()), shard_.first_head * d,
             shard_.n_heads * d, heads_per_leaf * d},
            bias(name, shape_.n_heads * d)};
  }
  RowsOf kv_rows(const std::string& name) const {
    const int64_t d = shape_.head_dim;
    return {{&file_.require(name + ".weight", shape_.n_kv_heads * d, hidden()),
             shard_.first_kv_head * d, shard_.n_kv_heads * d, d},
            bias(name, shape_.n_kv_heads * d)};
  }
  RowsOf ffn_rows(const std::string& name) const {
    return {{&file_.require(name + ".weight", shape_.ffn_dim, hidden()), shard_.first_ffn,
             shard_.n_ffn, shape_.ffn_dim / shard_.ffn.n_total},
            nullptr};
  }
  const Tensor* bias(const std::string& name, int64_t n) const {
    return model_.qkv_bias ? &file_.require(name + ".bias", 1, n) : nullptr;
  }

  // Consecutive tensors of one type become one part. If the first tensor has a bias, all have one.
  Matrix rows(const std::vector<RowsOf>& tensors) {
    Matrix matrix;
    int64_t first_row = 0;
    for (size_t i = 0; i < tensors.size();) {
      const WeightType type = tensors[i].weight.tensor->type;
      size_t end = i;
      int64_t n_rows = 0;
      for (; end < tensors.size() && tensors[end].weight.tensor->type == type; ++end) {
        n_rows += tensors[end].weight.n;
      }
      const std::span<const RowsOf> same(tensors.data() + i, end - i);
      matrix.parts.push_back({row_part(same, type, n_rows), bias_part(same, n_rows), first_row});
      first_row += n_rows;
      i = end;
    }
    return matrix;
  }

  PackedWeights row_part(std::span<const RowsOf> tensors, WeightType type, int64_t n_rows) {
    PackedWeights dst{
        .type = type, .n_rows = n_rows, .k = hidden(), .leaves = {}, .layout = layout_};
    dst.data = arena_.take(packed_bytes(type, n_rows, dst.k));
    if (loader_ == nullptr) return dst;
    PanelPacker packer(dst, *writer_);
    for (const RowsOf& rows : tensors) loader_->load_rows(rows.weight, packer);
    return dst;
  }

  View bias_part(std::span<const RowsOf> tensors, int64_t n_rows) {
    if (tensors.front().bias == nullptr) return {};
    const View bias = view(arena_.take_array<float>(n_rows), {n_rows});
    if (loader_ == nullptr) return bias;
    float* values = begin_vector(bias);
    for (const RowsOf& rows : tensors) {
      RowSlice slice = rows.weight;
      slice.tensor = rows.bias;
      loader_->load_vector(slice, values);
      values += slice.n;
    }
    writer_->commit();
    return bias;
  }

  Matrix columns(const std::string& name, int64_t k, const LeafRange& leaves) {
    const Tensor& tensor = file_.require(name, hidden(), k);
    PackedWeights dst{.type = tensor.type,
                      .n_rows = hidden(),
                      .k = k / leaves.n_total * leaves.n,
                      .leaves = leaves,
                      .layout = layout_};
    dst.data = arena_.take(packed_bytes(dst.type, dst.n_rows, dst.k));
    if (loader_ != nullptr) {
      PanelPacker packer(dst, *writer_);
      loader_->load_columns(tensor, packer);
    }
    Matrix matrix;
    matrix.parts.push_back({dst, {}, 0});
    return matrix;
  }

  View norm(const std::string& name) {
    const Tensor& tensor = file_.require(name, 1, hidden());
    const View weight = view(arena_.take_array<float>(hidden()), {hidden()});
    if (loader_ == nullptr) return weight;
    loader_->load_vector({&tensor, 0, hidden(), hidden()}, begin_vector(weight));
    writer_->commit();
    return weight;
  }

  float* begin_vector(const View& to) {
    return reinterpret_cast<float*>(writer_->begin(
        static_cast<std::byte*>(to.data), to.n_rows() * static_cast<int64_t>(sizeof(float))));
  }

  const ModelFile& file_;
  const ModelConfig& model_;
  const ModelShape& shape_;
  const RankShard& shard_;
  const PackedLayout layout_;  // of the quantised matrices
  Arena arena_;
  WeightLoader* loader_;  // null while only counting, like the next
  WeightWriter* writer_;
};

bool any_part(const Matrix& matrix, bool quantized) {
  for (const Matrix::Part& part : matrix.parts) {
    if (is_quantized(part.weights.type) == quantized) return true;
  }
  return false;
}

}  // namespace

bool Matrix::reads_f32() const { return any_part(*this, false); }
bool Matrix::reads_quantized() const { return any_part(*this, true); }

RankWeights lay_out_weights(const ModelFile& file, const ShardPlan& plan, int rank,
                            int64_t& n_bytes) {
  RankWeights layout;
  Assembler counter(file, plan, rank, PackedLayout::kRows, Arena(), nullptr, nullptr);
  counter.assemble(layout);
  n_bytes = counter.bytes();
  return layout;
}

LoadedWeights load_weights(const ModelFile& file, const ShardPlan& plan, int rank, Device& device,
                           Stream& stream, MemoryLedger& ledger) {
  int64_t n_bytes = 0;
  lay_out_weights(file, plan, rank, n_bytes);

  LoadedWeights loaded;
  loaded.weights.memory = DeviceBuffer(device, ledger, MemoryTag::kWeights, n_bytes);
  WeightLoader loader(file);
  WeightWriter writer(device, stream, ledger);
  Assembler assembler(file, plan, rank, device.weight_layout(), Arena(loaded.weights.memory.data()),
                      &loader, &writer);
  assembler.assemble(loaded.weights);
  CHECK_EQ(assembler.bytes(), n_bytes);
  loaded.digests = loader.take_digests();
  return loaded;
}

}  // namespace lockstep
