#include "kernels/cpu/elementwise/row_ops.h"

#include <algorithm>

#include "kernels/cpu/elementwise/quantize.h"
#include "kernels/reference/reference_ops.h"

namespace lockstep {
namespace {

constexpr int64_t kMinValues = 16384;  // per run; fewer are done before another thread is awake

int64_t min_rows(int64_t row_len) { return kMinValues / std::max<int64_t>(row_len, 1) + 1; }

void quantize_rows(const QuantizeArgs& args, ThreadTeam& team, QuantizeRow quantize_row) {
  const int64_t k = args.x.shape[1];
  team.run_ranges(args.x.n_rows(), min_rows(k), [&](int64_t begin, int64_t end, int /*thread*/) {
    for (int64_t t = begin; t < end; ++t) {
      quantize_row(args.x.row<float>(t), k, row_of(args.out, t));
    }
  });
}

}  // namespace

void quantize_portable(const QuantizeArgs& args, ThreadTeam& team) {
  quantize_rows(args, team, quantize_row_portable);
}

void quantize_avx2(const QuantizeArgs& args, ThreadTeam& team) {
  quantize_rows(args, team, quantize_row_avx2);
}

void quantize_avx512(const QuantizeArgs& args, ThreadTeam& team) {
  quantize_rows(args, team, quantize_row_avx512);
}

void embed_rows(const EmbedArgs& args, ThreadTeam& team) {
  team.run_ranges(args.ids.shape[0], min_rows(args.table.k),
                  [&](int64_t begin, int64_t end, int /*thread*/) {
                    for (int64_t t = begin; t < end; ++t) reference::embed_token(args, t);
                  });
}

void concat_columns_rows(const ConcatColumnsArgs& args, ThreadTeam& team) {
  team.run_ranges(args.out.n_rows(), min_rows(args.out.shape[1]),
                  [&](int64_t begin, int64_t end, int /*thread*/) {
                    for (int64_t t = begin; t < end; ++t) reference::concat_row(args, t);
                  });
}

}  // namespace lockstep
