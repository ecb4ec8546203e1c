// The cut of attention into units of work, and its portable inner loops. A unit is a run of rows of
// one sequence times one KV head. K and V are widened once per unit, so a unit of a prefill chunk
// takes as many rows as keep its queries within kMaxQueriesPerUnit. A step with too few units for
// its threads (one or two sequences decoding) also cuts the keys at tiles, and merges them later.
#include <algorithm>

#include "common/check.h"
#include "common/units.h"
#include "kernels/cpu/attention/attention_impl.h"
#include "kernels/cpu/attention/attention_rows.h"
#include "kernels/cpu/simd/fast_ops.h"
#include "kernels/cpu/simd/simd_portable.h"
#include "kernels/index_checks.h"
#include "kernels/kv_layout.h"

namespace lockstep {
namespace {

constexpr int kUnitsPerThread = 4;  // with fewer, threads wait for the last unit
constexpr int64_t kMinTilesPerPart = 2;
constexpr int64_t kPartialsBytes = 2_MiB;  // 8000 keys for 32 heads of 128

// Rows [first, first + n) of the step, all of one sequence, and the tiles of keys that they see.
struct RowRun {
  int32_t first;
  int32_t n;
  int32_t first_tile;
  int32_t n_tiles;
};

constexpr int64_t runs_bytes(int64_t n_tokens) {
  return round_up(n_tokens * static_cast<int64_t>(sizeof(RowRun)), 64);
}
constexpr int64_t unit_bytes(int head_dim) {
  return attention_scratch_floats(head_dim) * static_cast<int64_t>(sizeof(float));
}

// One launch: its arguments and the cut of its heads and rows into units.
class Launch {
 public:
  Launch(const AttentionArgs& args, const AttentionLoops& loops, ThreadTeam& team)
      : args_(args),
        loops_(loops),
        team_(team),
        n_heads_(static_cast<int>(args.q.shape[1])),
        group_(n_heads_ / args.kv.n_kv_heads),
        unit_heads_(std::min(group_, kMaxQueriesPerUnit)),
        units_per_run_((group_ + unit_heads_ - 1) / unit_heads_ * args.kv.n_kv_heads) {
    CHECK(args.kv.head_dim <= kMaxHeadDim);
  }

  void run() {
    const int64_t n_runs_bytes = runs_bytes(args_.q.n_rows());
    std::byte* shared = team_.shared_scratch(n_runs_bytes + kPartialsBytes);
    runs_ = reinterpret_cast<RowRun*>(shared);
    partials_ = reinterpret_cast<float*>(shared + n_runs_bytes);
    cut_rows();
    const int n_parts = parts_per_unit();
    if (n_parts == 1) {
      run_units();
    } else {
      run_parts(n_parts);
    }
  }

 private:
  // Cuts the rows of the step into runs of one sequence.
  void cut_rows() {
    const int max_rows = std::max(1, kMaxQueriesPerUnit / unit_heads_);
    const int32_t n_tokens = static_cast<int32_t>(args_.q.n_rows());
    for (int32_t row = 0; row < n_tokens; ++row) {
      check_attention_row(args_, row);
      const bool joins =
          n_runs_ > 0 && seq_of(row) == seq_of(row - 1) && runs_[n_runs_ - 1].n < max_rows;
      const int32_t first_tile = static_cast<int32_t>(first_key(row) / kTileKeys);
      const int32_t end_tile = static_cast<int32_t>(position_of(row) / kTileKeys) + 1;
      if (!joins) runs_[n_runs_++] = {row, 0, first_tile, 0};
      RowRun& run = runs_[n_runs_ - 1];
      const int32_t end = std::max(run.first_tile + run.n_tiles, end_tile);
      run.first_tile = std::min(run.first_tile, first_tile);
      run.n_tiles = end - run.first_tile;
      ++run.n;
      max_tiles_ = std::max(max_tiles_, run.n_tiles);
    }
  }

  // The number of parts into which the tiles of each unit are cut: enough for every thread, or 1 if
  // there are too few keys to be worth it or no room for their partials.
  int parts_per_unit() const {
    const int n_units = n_runs_ * units_per_run_;
    const int n_wanted = team_.n_threads() * kUnitsPerThread;
    const int64_t n_partials =
        args_.q.n_rows() * n_heads_ * max_tiles_ * partial_floats(args_.kv.head_dim);
    if (team_.n_threads() == 1 || n_units == 0 || n_units >= n_wanted) return 1;
    if (n_partials > kPartialsBytes / static_cast<int64_t>(sizeof(float))) return 1;
    const int64_t worth = std::max<int64_t>(1, max_tiles_ / kMinTilesPerPart);
    return static_cast<int>(std::min<int64_t>(worth, (n_wanted + n_units - 1) / n_units));
  }

  // Later runs of a chunk see more keys. The longest runs go first: no thread shall end with one.
  void run_units() const {
    team_.run(n_runs_ * units_per_run_, [&](int unit, int thread) {
      const RowRun& run = runs_[n_runs_ - 1 - unit / units_per_run_];
      loops_.attend_rows(rows_of(run, unit % units_per_run_, thread));
    });
  }

  void run_parts(int n_parts) const {
    team_.run(n_runs_ * units_per_run_ * n_parts, [&](int index, int thread) {
      const int unit = index / n_parts;
      const int64_t part = index % n_parts;
      const RowRun& run = runs_[unit / units_per_run_];
      loops_.attend_tiles(with_partials(run, unit, thread),
                          run.first_tile + run.n_tiles * part / n_parts,
                          run.first_tile + run.n_tiles * (part + 1) / n_parts);
    });
    team_.run(n_runs_ * units_per_run_, [&](int unit, int thread) {
      loops_.merge_tiles(with_partials(runs_[unit / units_per_run_], unit, thread));
    });
  }

  AttentionRows with_partials(const RowRun& run, int unit, int thread) const {
    AttentionRows rows = rows_of(run, unit % units_per_run_, thread);
    TilePartials& partials = rows.partials;
    partials.head_stride = max_tiles_ * partial_floats(args_.kv.head_dim);
    partials.row_stride = n_heads_ * partials.head_stride;
    partials.data = partials_ + run.first * partials.row_stride +
                    first_head(unit % units_per_run_) * partials.head_stride;
    partials.first_tile = run.first_tile;
    return rows;
  }

  // `index` is the unit's number within the run: index % n_kv_heads is the KV head, and
  // index / n_kv_heads the part of its query heads, if they are too many for one unit.
  AttentionRows rows_of(const RowRun& run, int index, int thread) const {
    const int head_dim = args_.kv.head_dim;
    const KvHeadBlock pages = kv_head_block(args_.kv, 0, index % args_.kv.n_kv_heads);
    AttentionRows rows;
    rows.kv = {pages.k,
               pages.v,
               args_.block_tables.row<int32_t>(seq_of(run.first)),
               args_.kv.block_bytes,
               args_.kv.block_size,
               head_dim,
               kv_type(args_.kv.dtype)};
    rows.q = args_.q.row<float>(run.first) + first_head(index) * head_dim;
    rows.q_stride = args_.q.row_stride;
    rows.out = args_.out.row<float>(run.first) + first_head(index) * head_dim;
    rows.out_stride = args_.out.row_stride;
    rows.positions = args_.positions.row<int32_t>(run.first);
    rows.n_rows = run.n;
    rows.n_heads = std::min(unit_heads_, group_ - first_in_group(index));
    rows.scale = args_.scale;
    rows.window = args_.window;
    rows.scratch = reinterpret_cast<float*>(team_.scratch(thread, unit_bytes(head_dim)));
    rows.progress = team_.progress(thread).raw();
    return rows;
  }

  int first_in_group(int index) const { return index / args_.kv.n_kv_heads * unit_heads_; }
  int64_t first_head(int index) const {
    return int64_t{index} % args_.kv.n_kv_heads * group_ + first_in_group(index);
  }

  int32_t seq_of(int32_t row) const { return *args_.seq_of_token.row<int32_t>(row); }
  int64_t position_of(int32_t row) const { return *args_.positions.row<int32_t>(row); }
  int64_t first_key(int32_t row) const {
    const int64_t first = position_of(row) - args_.window + 1;
    return args_.window == 0 ? 0 : std::max<int64_t>(first, 0);
  }

  const AttentionArgs& args_;
  const AttentionLoops& loops_;
  ThreadTeam& team_;
  const int n_heads_;
  const int group_;       // query heads per KV head
  const int unit_heads_;  // query heads in one unit, at most
  const int units_per_run_;

  RowRun* runs_ = nullptr;  // runs and partials lie in the team's shared scratch
  float* partials_ = nullptr;
  int n_runs_ = 0;
  int32_t max_tiles_ = 0;  // tiles of the longest run
};

}  // namespace

ScratchBytes attention_scratch_bytes(const StreamLimits& limits) {
  return {.shared = runs_bytes(limits.max_tokens) + kPartialsBytes,
          .per_thread = unit_bytes(limits.head_dim)};
}

constinit const AttentionLoops kAttentionPortable = simd::attention_loops<simd::Portable>();

void attention_portable(const AttentionArgs& args, ThreadTeam& team) {
  Launch(args, kAttentionPortable, team).run();
}
void attention_avx2(const AttentionArgs& args, ThreadTeam& team) {
  Launch(args, kAttentionAvx2, team).run();
}
void attention_avx512(const AttentionArgs& args, ThreadTeam& team) {
  Launch(args, kAttentionAvx512, team).run();
}

}  // namespace lockstep
