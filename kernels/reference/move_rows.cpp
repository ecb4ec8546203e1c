// The ops that only move values: gather_rows, concat_columns, resolve_tokens, copy_blocks.
#include <algorithm>

#include "kernels/reference/reference_ops.h"

namespace lockstep::reference {

void gather_rows(const GatherRowsArgs& args) {
  const int64_t dim = args.x.shape[1];
  for (int64_t i = 0; i < args.out.n_rows(); ++i) {
    const int32_t row = args.rows.row<int32_t>(0)[i];
    CHECK(row >= 0 && row < args.x.n_rows());
    std::copy_n(args.x.row<float>(row), dim, args.out.row<float>(i));
  }
}

void concat_row(const ConcatColumnsArgs& args, int64_t row) {
  const int64_t max_cols = args.parts.shape[2];
  float* out = args.out.row<float>(row);
  for (int64_t rank = 0; rank < args.parts.n_rows(); ++rank) {
    out = std::copy_n(args.parts.row<float>(rank) + row * max_cols, args.n_cols[rank], out);
  }
}

void concat_columns(const ConcatColumnsArgs& args) {
  for (int64_t row = 0; row < args.out.n_rows(); ++row) concat_row(args, row);
}

void resolve_tokens(const ResolveTokensArgs& args) {
  for (int64_t i = 0; i < args.tokens.shape[0]; ++i) {
    const int32_t slot = args.seq_slots.row<int32_t>(0)[i];
    const int32_t position = args.positions.row<int32_t>(0)[i];
    CHECK(slot >= 0 && slot < args.token_ids.n_rows());
    CHECK(position >= 0 && position < args.token_ids.shape[1]);
    int32_t& known = args.token_ids.row<int32_t>(slot)[position];
    const int32_t id = args.ids.row<int32_t>(0)[i];
    if (id >= 0) known = id;
    args.tokens.row<int32_t>(0)[i] = known;
  }
}

void copy_blocks(const CopyBlocksArgs& args) {
  const auto block = [&](const View& ids, int64_t i) {
    const int32_t id = ids.row<int32_t>(0)[i];
    CHECK(id >= 0 && id < args.kv.n_blocks);
    return args.kv.data + id * args.kv.block_bytes;
  };
  for (int64_t i = 0; i < args.from.shape[0]; ++i) {
    std::copy_n(block(args.from, i), args.kv.block_bytes, block(args.to, i));
  }
}

}  // namespace lockstep::reference
