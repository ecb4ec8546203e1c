#include "kernels/index_checks.h"

#include <algorithm>

#include "common/check.h"

namespace lockstep {

void check_rope_row(const RopeStoreArgs& args, int64_t token) {
  const int64_t position = *args.positions.row<int32_t>(token);
  const int64_t slot = *args.slot_mapping.row<int32_t>(token);
  CHECK(position >= 0 && position < args.cos_sin.shape[0]);
  CHECK(slot >= 0 && slot < args.kv.n_blocks * args.kv.block_size);
}

void check_attention_row(const AttentionArgs& args, int64_t row) {
  const auto seq_of = [&](int64_t r) { return *args.seq_of_token.row<int32_t>(r); };
  const auto position_of = [&](int64_t r) -> int64_t { return *args.positions.row<int32_t>(r); };
  const int64_t position = position_of(row);
  const int64_t last_block = position / args.kv.block_size;
  CHECK(seq_of(row) >= 0 && seq_of(row) < args.block_tables.n_rows());
  CHECK(position >= 0 && last_block < args.block_tables.shape[1]);
  const int32_t* blocks = args.block_tables.row<int32_t>(seq_of(row));
  // The earlier blocks of a chunk were checked with the row before this one.
  const bool follows =
      row > 0 && seq_of(row - 1) == seq_of(row) && position_of(row - 1) + 1 == position;
  const int64_t first_key = args.window == 0 ? 0 : std::max<int64_t>(position - args.window + 1, 0);
  const int64_t first_block = follows ? last_block : first_key / args.kv.block_size;
  for (int64_t block = first_block; block <= last_block; ++block) {
    CHECK(blocks[block] >= 0 && blocks[block] < args.kv.n_blocks);
  }
}

}  // namespace lockstep
