// Embedding, docs/numerics.md section 3: one dequantised row of the table per token, or zeros where
// another rank has the row.
#include <algorithm>

#include "kernels/reference/reference_ops.h"

namespace lockstep::reference {

void embed_token(const EmbedArgs& args, int64_t token) {
  const int64_t row = int64_t{args.ids.row<int32_t>(0)[token]} - args.first_row;
  const std::span<float> out(args.out.row<float>(token), static_cast<size_t>(args.table.k));
  if (row < 0 || row >= args.table.n_rows) {
    std::fill(out.begin(), out.end(), 0.0f);
    return;
  }
  unpack_row(args.table, row, out);
  for (float& x : out) x = x * args.scale + 0.0f;
}

void embed(const EmbedArgs& args) {
  for (int64_t t = 0; t < args.ids.shape[0]; ++t) embed_token(args, t);
}

}  // namespace lockstep::reference
