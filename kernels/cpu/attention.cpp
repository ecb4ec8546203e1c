// How attention is cut into units of work, and its portable inner loops. A unit is a run of rows of
// one sequence times one KV head; K and V are widened once per unit, so a prefill chunk takes as
// many rows as keep the unit's queries within kMaxQueriesPerUnit.
#include <algorithm>

#include "common/check.h"
#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/fast_ops.h"
#include "kernels/cpu/simd_portable.h"
#include "kernels/kv_layout.h"

namespace lockstep {
namespace {

using AttendRows = void (*)(const AttentionRows& rows);

// Rows [first, first + n) of the step, all of one sequence.
struct RowRun {
  int32_t first;
  int32_t n;
};

// One launch: args and how its heads and rows are grouped.
class Launch {
 public:
  Launch(const AttentionArgs& args, AttendRows attend)
      : args_(args),
        attend_(attend),
        n_tokens_(args.q.n_rows()),
        group_(static_cast<int>(args.q.shape[1]) / args.kv.n_kv_heads),
        unit_heads_(std::min(group_, kMaxQueriesPerUnit)),
        units_per_run_((group_ + unit_heads_ - 1) / unit_heads_ * args.kv.n_kv_heads) {
    CHECK(args.kv.head_dim <= kMaxHeadDim);
  }

  void run(ThreadTeam& team) const {
    // Every thread asks for the same; thread 0's holds the runs too, ahead of its own scratch.
    const size_t runs_bytes = (static_cast<size_t>(n_tokens_) * sizeof(RowRun) + 63) / 64 * 64;
    const size_t n_bytes =
        runs_bytes +
        static_cast<size_t>(attention_scratch_floats(args_.kv.head_dim)) * sizeof(float);
    auto* runs = reinterpret_cast<RowRun*>(team.scratch(0, n_bytes));
    const int n_runs = cut_rows(runs);
    // Later runs of a chunk see more keys: longest first, so that no thread is left with one.
    team.run(n_runs * units_per_run_, [&](int unit, int thread) {
      std::byte* scratch = team.scratch(thread, n_bytes) + runs_bytes;
      run_unit(runs[n_runs - 1 - unit / units_per_run_], unit % units_per_run_,
               reinterpret_cast<float*>(scratch));
    });
  }

 private:
  // Cuts the step's rows into runs of one sequence; returns how many.
  int cut_rows(RowRun* runs) const {
    const int max_rows = std::max(1, kMaxQueriesPerUnit / unit_heads_);
    int n_runs = 0;
    for (int32_t row = 0; row < n_tokens_; ++row) {
      check_row(row);
      const bool joins =
          n_runs > 0 && seq_of(row) == seq_of(row - 1) && runs[n_runs - 1].n < max_rows;
      if (joins) {
        ++runs[n_runs - 1].n;
      } else {
        runs[n_runs++] = {row, 1};
      }
    }
    return n_runs;
  }

  // What the row will read lies inside the tables and the pages.
  void check_row(int32_t row) const {
    const int64_t position = position_of(row);
    const int64_t last_block = position / args_.kv.block_size;
    CHECK(seq_of(row) >= 0 && seq_of(row) < args_.block_tables.n_rows());
    CHECK(position >= 0 && last_block < args_.block_tables.shape[1]);
    const int64_t first_key = args_.window == 0 ? 0 : position - args_.window + 1;
    const int32_t* blocks = args_.block_tables.row<int32_t>(seq_of(row));
    // A chunk's earlier blocks were checked with the row before it.
    const bool follows =
        row > 0 && seq_of(row - 1) == seq_of(row) && position_of(row - 1) + 1 == position;
    const int64_t first_block =
        follows ? last_block : std::max<int64_t>(0, first_key) / args_.kv.block_size;
    for (int64_t block = first_block; block <= last_block; ++block) {
      CHECK(blocks[block] >= 0 && blocks[block] < args_.kv.n_blocks);
    }
  }

  // `index` counts KV heads, and parts of a group too large for one unit.
  void run_unit(const RowRun& run, int index, float* scratch) const {
    const int head_dim = args_.kv.head_dim;
    const int kv_head = index % args_.kv.n_kv_heads;
    const int first_in_group = index / args_.kv.n_kv_heads * unit_heads_;
    const int64_t first_head = int64_t{kv_head} * group_ + first_in_group;
    const KvHeadBlock pages = kv_head_block(args_.kv, 0, kv_head);
    AttentionRows rows;
    rows.kv = {pages.k,
               pages.v,
               args_.block_tables.row<int32_t>(seq_of(run.first)),
               args_.kv.block_bytes,
               args_.kv.block_size,
               head_dim,
               kv_type(args_.kv.dtype)};
    rows.q = args_.q.row<float>(run.first) + first_head * head_dim;
    rows.q_stride = args_.q.row_stride;
    rows.out = args_.out.row<float>(run.first) + first_head * head_dim;
    rows.out_stride = args_.out.row_stride;
    rows.positions = args_.positions.row<int32_t>(run.first);
    rows.n_rows = run.n;
    rows.n_heads = std::min(unit_heads_, group_ - first_in_group);
    rows.scale = args_.scale;
    rows.window = args_.window;
    rows.scratch = scratch;
    attend_(rows);
  }

  int32_t seq_of(int32_t row) const { return *args_.seq_of_token.row<int32_t>(row); }
  int64_t position_of(int32_t row) const { return *args_.positions.row<int32_t>(row); }

  const AttentionArgs& args_;
  const AttendRows attend_;
  const int64_t n_tokens_;
  const int group_;       // query heads per KV head
  const int unit_heads_;  // of them in one unit
  const int units_per_run_;
};

}  // namespace

void attend_rows_portable(const AttentionRows& rows) {
  simd::RowsAttention<simd::Portable>(rows).run();
}

void attention_portable(const AttentionArgs& args, ThreadTeam& team) {
  Launch(args, attend_rows_portable).run(team);
}
void attention_avx2(const AttentionArgs& args, ThreadTeam& team) {
  Launch(args, attend_rows_avx2).run(team);
}
void attention_avx512(const AttentionArgs& args, ThreadTeam& team) {
  Launch(args, attend_rows_avx512).run(team);
}

}  // namespace lockstep
