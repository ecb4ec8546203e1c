#include "node/model/weights/weights.h"

#include <functional>
#include <string>

#include "common/check.h"
#include "node/model/families/family.h"
#include "node/model/weights/arena.h"
#include "node/model/weights/weight_loader.h"

namespace lockstep {

namespace {

// The part of a matrix that a rank has, with the bias of those rows.
struct RowsOf {
  RowSlice weight;
  RowSlice bias;  // no tensor: none
};

// Lays out a rank's weights and fills them. The same code walks the layout twice: first over an
// arena that only counts, then over the allocated one.
class Assembler {
 public:
  Assembler(const ModelFile& file, const ShardPlan& plan, int rank, PackedLayout layout,
            Arena arena, WeightLoader* loader, WeightWriter* writer)
      : file_(file),
        model_(file.config()),
        family_(family_of(model_)),
        shape_(model_.shape),
        shard_(plan.ranks[static_cast<size_t>(rank)]),
        layout_(layout),
        arena_(arena),
        loader_(loader),
        writer_(writer) {}

  void assemble(RankWeights& out) {
    Matrix table = rows({{slice(TensorRole::kEmbedding), {}}});
    out.embedding = table.parts.front().weights;
    for (int layer = 0; layer < model_.n_layers(); ++layer)
      out.layers.push_back(this->layer(layer));
    out.output_norm = norm(TensorRole::kOutputNorm);
    if (model_.tied_embeddings) {
      out.head = std::move(table);
    } else {
      out.head = rows({{slice(TensorRole::kHead), {}}});
    }
  }

  int64_t bytes() const { return arena_.bytes(); }

 private:
  int64_t hidden() const { return shape_.hidden_dim; }

  LayerWeights layer(int idx) {
    using enum TensorRole;
    LayerWeights w;
    w.attention_norm = norm(kAttentionNorm, idx);
    if (family_.find(kQueryKeyValue) != nullptr) {
      w.qkv = rows(fused_heads(source(family_.spec(kQueryKeyValue), idx)));
    } else {
      w.qkv = rows({{slice(kQuery, idx), slice(kQueryBias, idx)},
                    {slice(kKey, idx), slice(kKeyBias, idx)},
                    {slice(kValue, idx), slice(kValueBias, idx)}});
    }
    if (model_.qk_norm) {
      w.query_norm = norm(kQueryNorm, idx);
      w.key_norm = norm(kKeyNorm, idx);
    }
    w.o = columns(kAttentionOutput, idx, shard_.attention);
    w.ffn_norm = norm(kFfnNorm, idx);
    if (family_.find(kGateUp) != nullptr) {
      w.gate_up = rows(fused_ffn(source(family_.spec(kGateUp), idx)));
    } else {
      w.gate_up = rows({{slice(kGate, idx), {}}, {slice(kUp, idx), {}}});
    }
    w.down = columns(kDown, idx, shard_.ffn);
    return w;
  }

  SourceTensor source(const TensorSpec& spec, int layer) const {
    return {&file_.require(file_.name_of(spec, layer), size_of(spec.n_rows, model_),
                           size_of(spec.n_cols, model_)),
            &spec, layer};
  }

  // RowSlice::paired_rows of rows that RoPE rotates.
  int64_t paired_rows() const {
    const bool as_they_lie = file_.row_order() == model_.rope_style;
    CHECK(as_they_lie ||
          (file_.row_order() == RopeStyle::kHalves && model_.n_rot == shape_.head_dim));
    return as_they_lie ? 0 : shape_.head_dim;
  }

  // The rows that this rank has, in units that are never split between ranks. Without a tensor if
  // the model has none of this role.
  RowSlice slice(TensorRole role, int layer = 0) const {
    const TensorSpec& spec = family_.spec(role);
    if (!may_have(model_, spec)) return {};
    const SourceTensor from = source(spec, layer);
    const bool is_value = role == TensorRole::kValue || role == TensorRole::kValueBias;
    const int64_t d = shape_.head_dim;
    switch (spec.cut) {
      case Cut::kVocabRows:
        return {from, shard_.first_vocab, shard_.n_vocab, kPanelRows};
      case Cut::kQueryRows:
        return {from, shard_.first_head * d, shard_.n_heads * d,
                shape_.n_heads / shard_.attention.n_total * d, paired_rows()};
      case Cut::kKeyValueRows:
        return {from, shard_.first_kv_head * d, shard_.n_kv_heads * d, d,
                is_value ? 0 : paired_rows()};
      case Cut::kFfnRows:
        return {from, shard_.first_ffn, shard_.n_ffn, rows_of_ffn_leaf()};
      case Cut::kQkvRows:     // fused_heads()
      case Cut::kGateUpRows:  // fused_ffn()
      case Cut::kWhole:
      case Cut::kAttentionColumns:
      case Cut::kFfnColumns:
        break;
    }
    const int64_t n = size_of(spec.is_vector() ? spec.n_cols : spec.n_rows, model_);
    return {from, 0, n, n};
  }

  // The heads that this rank has of a tensor with the rows of all queries, keys and values.
  std::vector<RowsOf> fused_heads(const SourceTensor& from) const {
    const auto heads = [&](int64_t first, int64_t n, int64_t paired) {
      const int64_t d = shape_.head_dim;
      return RowsOf{{from, first * d, n * d, d, paired}, {}};
    };
    const int64_t first_key = shape_.n_heads, first_value = first_key + shape_.n_kv_heads;
    return {heads(shard_.first_head, shard_.n_heads, paired_rows()),
            heads(first_key + shard_.first_kv_head, shard_.n_kv_heads, paired_rows()),
            heads(first_value + shard_.first_kv_head, shard_.n_kv_heads, 0)};
  }

  // The same of a tensor with the rows of gate and up.
  std::vector<RowsOf> fused_ffn(const SourceTensor& from) const {
    const int64_t first_up = shape_.ffn_dim;
    return {{{from, shard_.first_ffn, shard_.n_ffn, rows_of_ffn_leaf()}, {}},
            {{from, first_up + shard_.first_ffn, shard_.n_ffn, rows_of_ffn_leaf()}, {}}};
  }

  int64_t rows_of_ffn_leaf() const { return shape_.ffn_dim / shard_.ffn.n_total; }

  // Consecutive tensors of one type become one part. If the first tensor has a bias, all have one.
  Matrix rows(const std::vector<RowsOf>& tensors) {
    Matrix matrix;
    int64_t first_row = 0;
    for (size_t i = 0; i < tensors.size();) {
      const WeightType type = tensors[i].weight.source.tensor->type;
      size_t end = i;
      int64_t n_rows = 0;
      for (; end < tensors.size() && tensors[end].weight.source.tensor->type == type; ++end) {
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
    dst.data = arena_.take(packed_bytes(dst));
    if (loader_ == nullptr) return dst;
    PanelPacker packer(dst, *writer_);
    for (const RowsOf& rows : tensors) loader_->load_rows(rows.weight, packer);
    return dst;
  }

  View bias_part(std::span<const RowsOf> tensors, int64_t n_rows) {
    if (tensors.front().bias.source.tensor == nullptr) return {};
    const View bias = view(arena_.take_array<float>(n_rows), {n_rows});
    if (loader_ == nullptr) return bias;
    float* values = begin_vector(bias);
    for (const RowsOf& rows : tensors) {
      loader_->load_vector(rows.bias, values);
      values += rows.bias.n;
    }
    writer_->commit();
    return bias;
  }

  Matrix columns(TensorRole role, int layer, const LeafRange& leaves) {
    const SourceTensor source = this->source(family_.spec(role), layer);
    const Tensor& tensor = *source.tensor;
    PackedWeights dst{.type = tensor.type,
                      .n_rows = hidden(),
                      .k = tensor.n_cols / leaves.n_total * leaves.n,
                      .leaves = leaves,
                      .layout = layout_};
    dst.data = arena_.take(packed_bytes(dst));
    if (loader_ != nullptr) {
      PanelPacker packer(dst, *writer_);
      loader_->load_columns(source, packer);
    }
    Matrix matrix;
    matrix.parts.push_back({dst, {}, 0});
    return matrix;
  }

  View norm(TensorRole role, int layer = 0) {
    const RowSlice values = slice(role, layer);
    const View weight = view(arena_.take_array<float>(values.n), {values.n});
    if (loader_ == nullptr) return weight;
    loader_->load_vector(values, begin_vector(weight));
    writer_->commit();
    return weight;
  }

  float* begin_vector(const View& to) {
    return reinterpret_cast<float*>(writer_->begin(
        static_cast<std::byte*>(to.data), to.n_rows() * static_cast<int64_t>(sizeof(float))));
  }

  const ModelFile& file_;
  const ModelConfig& model_;
  const Family& family_;
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
