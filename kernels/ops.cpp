// The checks of ops.h, made once for all back ends: a back end may trust shapes, types and strides.
// The back end itself checks the values inside Views (ids, rows, slots).
#include "kernels/ops.h"

#include "common/check.h"
#include "kernels/kv_layout.h"

namespace lockstep {
namespace {

void expect(const View& v, DType dtype, std::initializer_list<int64_t> shape) {
  lockstep::expect(v, shape);
  CHECK(v.dtype == dtype);
  CHECK(v || v.n_rows() == 0 || v.row_size() == 0);
  CHECK(v.n_rows() <= 1 || (v.n_dims == 1 ? v.row_stride == 1 : v.row_stride >= v.row_size()));
}

void expect_f32(const View& v, std::initializer_list<int64_t> shape) {
  expect(v, DType::kF32, shape);
}

void expect_i32(const View& v, std::initializer_list<int64_t> shape) {
  expect(v, DType::kI32, shape);
}

// The size of dimension `dim` of v. CHECKs first that v has n_dims dimensions.
int64_t extent(const View& v, int n_dims, int dim) {
  CHECK_EQ(v.n_dims, n_dims);
  return v.shape[dim];
}

void expect_quantized(const QuantizedActs& acts, int64_t n_tokens, int64_t k) {
  CHECK_EQ(k % kBlockLen, 0);
  expect(acts.q, DType::kU8, {n_tokens, k});
  expect_f32(acts.scale, {n_tokens, k / kBlockLen});
  expect_f32(acts.sum, {n_tokens, k / kBlockLen});
  expect_i32(acts.q_sum, {n_tokens, k / kBlockLen});
}

// Outputs of an op that writes f32, int8, or both.
void expect_outputs(const Acts& acts, int64_t n_tokens, int64_t dim) {
  CHECK(acts.f32 || acts.quantized.q || n_tokens == 0);
  if (acts.f32) expect_f32(acts.f32, {n_tokens, dim});
  if (acts.quantized.q) expect_quantized(acts.quantized, n_tokens, dim);
}

void expect_weights(const PackedWeights& weights) {
  const LeafRange& leaves = weights.leaves;
  CHECK(weights.data != nullptr || weights.n_rows == 0);
  CHECK(leaves.n >= 1 && leaves.first >= 0);
  CHECK(leaves.first + leaves.n <= leaves.n_total && leaves.n_total <= kMaxLeaves);
  CHECK(weights.k > 0 && weights.k % leaves.n == 0);
  CHECK(!is_quantized(weights.type) || weights.leaf_k() % kBlockLen == 0);
}

int n_owned_subtrees(const LeafRange& leaves) {
  int n = 0;
  for (int leaf = leaves.first; leaf < leaves.first + leaves.n; ++n) {
    leaf += subtree_at(leaves, leaf).n;
  }
  return n;
}

void expect_partials(const AddPartialsArgs& args) {
  const int64_t n_tokens = extent(args.residual, 2, 0);
  const int64_t dim = args.residual.shape[1];
  expect_f32(args.residual, {n_tokens, dim});
  expect_f32(args.partials, {static_cast<int64_t>(args.layout.size()), n_tokens, dim});
  plan_joins(args.layout, args.n_leaves);  // CHECKs that the partials make one tree
  if (args.bias) expect_f32(args.bias, {dim});
}

void expect_pages(const KvPages& kv) {
  CHECK(kv.data != nullptr || kv.n_blocks == 0);
  CHECK(kv.block_size > 0 && kv.n_kv_heads > 0 && kv.head_dim > 0);
  CHECK(kv.block_bytes >= kv_block_bytes(kv.dtype, kv.block_size, kv.n_kv_heads, kv.head_dim));
}

}  // namespace

void embed(const EmbedArgs& args, Stream& stream) {
  const int64_t n_tokens = extent(args.ids, 1, 0);
  expect_i32(args.ids, {n_tokens});
  expect_weights(args.table);
  CHECK_EQ(args.table.leaves.n, args.table.leaves.n_total);
  expect_f32(args.out, {n_tokens, args.table.k});
  stream.launch(args);
}

void rms_norm(const RmsNormArgs& args, Stream& stream) {
  const int64_t n_tokens = extent(args.x, 2, 0);
  const int64_t dim = args.x.shape[1];
  expect_f32(args.x, {n_tokens, dim});
  expect_f32(args.weight, {dim});
  expect_outputs(args.out, n_tokens, dim);
  stream.launch(args);
}

void head_norm(const HeadNormArgs& args, Stream& stream) {
  const int64_t n_tokens = extent(args.x, 3, 0);
  const int64_t head_dim = args.x.shape[2];
  CHECK(head_dim > 0 && head_dim <= kMaxHeadDim);
  expect_f32(args.x, {n_tokens, args.x.shape[1], head_dim});
  expect_f32(args.weight, {head_dim});
  stream.launch(args);
}

void quantize(const QuantizeArgs& args, Stream& stream) {
  const int64_t n_tokens = extent(args.x, 2, 0);
  expect_f32(args.x, {n_tokens, args.x.shape[1]});
  expect_quantized(args.out, n_tokens, args.x.shape[1]);
  stream.launch(args);
}

void linear(const LinearArgs& args, Stream& stream) {
  const PackedWeights& weights = args.weights;
  expect_weights(weights);
  const int64_t n_subtrees = n_owned_subtrees(weights.leaves);
  const int64_t n_tokens = extent(args.out, 3, 1);
  const int64_t token_stride = args.out_token_stride ? args.out_token_stride : weights.n_rows;
  lockstep::expect(args.out, {n_subtrees, n_tokens, weights.n_rows});
  CHECK(args.out.dtype == DType::kF32);
  CHECK(args.out || n_tokens == 0 || weights.n_rows == 0);
  CHECK(token_stride >= weights.n_rows);
  CHECK(n_subtrees == 1 || args.out.row_stride >= (n_tokens - 1) * token_stride + weights.n_rows);
  if (is_quantized(weights.type)) {
    CHECK(!args.x.f32);
    expect_quantized(args.x.quantized, n_tokens, weights.k);
  } else {
    CHECK(!args.x.quantized.q);
    expect_f32(args.x.f32, {n_tokens, weights.k});
  }
  if (args.bias) {
    CHECK_EQ(weights.leaves.n, weights.leaves.n_total);
    expect_f32(args.bias, {weights.n_rows});
  }
  stream.launch(args);
}

void add_rms_norm(const AddRmsNormArgs& args, Stream& stream) {
  expect_partials(args.add);
  const int64_t n_tokens = args.add.residual.n_rows();
  const int64_t dim = args.add.residual.shape[1];
  expect_f32(args.weight, {dim});
  expect_outputs(args.out, n_tokens, dim);
  stream.launch(args);
}

void rope_store(const RopeStoreArgs& args, Stream& stream) {
  const int64_t n_tokens = extent(args.q, 3, 0);
  const int64_t head_dim = args.kv.head_dim;
  expect_pages(args.kv);
  expect_f32(args.q, {n_tokens, args.q.shape[1], head_dim});
  expect_f32(args.k, {n_tokens, args.kv.n_kv_heads, head_dim});
  expect_f32(args.v, {n_tokens, args.kv.n_kv_heads, head_dim});
  expect_i32(args.positions, {n_tokens});
  expect_i32(args.slot_mapping, {n_tokens});
  const int64_t n_pairs = extent(args.cos_sin, 3, 1);
  expect_f32(args.cos_sin, {args.cos_sin.shape[0], n_pairs, 2});
  CHECK(2 * n_pairs <= head_dim);
  stream.launch(args);
}

void attention(const AttentionArgs& args, Stream& stream) {
  const int64_t n_tokens = extent(args.q, 3, 0);
  const int64_t n_heads = args.q.shape[1];
  expect_pages(args.kv);
  expect_f32(args.q, {n_tokens, n_heads, args.kv.head_dim});
  CHECK_EQ(n_heads % args.kv.n_kv_heads, 0);
  expect_i32(args.positions, {n_tokens});
  expect_i32(args.seq_of_token, {n_tokens});
  const int64_t n_seqs = extent(args.block_tables, 2, 0);
  expect_i32(args.block_tables, {n_seqs, args.block_tables.shape[1]});
  CHECK(args.window >= 0);
  expect_f32(args.out, {n_tokens, n_heads * args.kv.head_dim});
  stream.launch(args);
}

void silu_mul(const SiluMulArgs& args, Stream& stream) {
  const int64_t n_tokens = extent(args.gate, 2, 0);
  const int64_t dim = args.gate.shape[1];
  expect_f32(args.gate, {n_tokens, dim});
  expect_f32(args.up, {n_tokens, dim});
  expect_outputs(args.out, n_tokens, dim);
  stream.launch(args);
}

void gather_rows(const GatherRowsArgs& args, Stream& stream) {
  const int64_t n = extent(args.x, 2, 0);
  const int64_t n_out = extent(args.rows, 1, 0);
  expect_f32(args.x, {n, args.x.shape[1]});
  expect_i32(args.rows, {n_out});
  expect_f32(args.out, {n_out, args.x.shape[1]});
  stream.launch(args);
}

void concat_columns(const ConcatColumnsArgs& args, Stream& stream) {
  const int64_t n_ranks = extent(args.parts, 3, 0);
  const int64_t n_rows = args.parts.shape[1];
  const int64_t max_cols = args.parts.shape[2];
  expect_f32(args.parts, {n_ranks, n_rows, max_cols});
  CHECK_EQ(static_cast<int64_t>(args.n_cols.size()), n_ranks);
  int64_t n_cols_all = 0;
  for (int64_t n_cols : args.n_cols) {
    CHECK(n_cols >= 0 && n_cols <= max_cols);
    n_cols_all += n_cols;
  }
  expect_f32(args.out, {n_rows, n_cols_all});
  stream.launch(args);
}

void resolve_tokens(const ResolveTokensArgs& args, Stream& stream) {
  const int64_t n_tokens = extent(args.ids, 1, 0);
  expect_i32(args.ids, {n_tokens});
  expect_i32(args.seq_slots, {n_tokens});
  expect_i32(args.positions, {n_tokens});
  const int64_t n_slots = extent(args.token_ids, 2, 0);
  expect_i32(args.token_ids, {n_slots, args.token_ids.shape[1]});
  expect_i32(args.tokens, {n_tokens});
  stream.launch(args);
}

void copy_blocks(const CopyBlocksArgs& args, Stream& stream) {
  const int64_t n = extent(args.from, 1, 0);
  expect_i32(args.from, {n});
  expect_i32(args.to, {n});
  stream.launch(args);
}

void finite_rows(const FiniteRowsArgs& args, Stream& stream) {
  const int64_t n_rows = extent(args.x, 2, 0);
  CHECK(args.x.dtype == DType::kF32 && args.limit > 0);
  expect(args.finite, DType::kU8, {n_rows});
  stream.launch(args);
}

void sample(const SampleArgs& args, Stream& stream) {
  const int64_t n_rows = extent(args.logits, 2, 0);
  const int64_t vocab_size = args.logits.shape[1];
  CHECK(args.rows != nullptr || n_rows == 0);
  expect_f32(args.logits, {n_rows, vocab_size});
  expect_i32(args.banned, {extent(args.banned, 1, 0)});
  const int64_t n_slots = extent(args.token_ids, 2, 0);
  expect_i32(args.token_ids, {n_slots, args.token_ids.shape[1]});
  expect_i32(args.ids, {n_rows});
  expect_f32(args.logprobs, {n_rows});
  expect_i32(args.top_ids, {n_rows, kMaxTopLogprobs});
  expect_f32(args.top_logprobs, {n_rows, kMaxTopLogprobs});
  expect(args.finite, DType::kU8, {n_rows});
  stream.launch(args);
}

}  // namespace lockstep
