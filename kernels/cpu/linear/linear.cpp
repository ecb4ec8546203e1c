#include "kernels/cpu/linear/linear.h"

#include <algorithm>
#include <array>

#include "common/units.h"
#include "kernels/layout/packed_layout.h"

namespace lockstep {
namespace {

// Bytes of the activations of one block of tokens. They should stay in the L2 cache of a core while
// the weights stream through it.
constexpr int64_t kTokenBlockBytes = 256 * 1024;
constexpr int64_t kTokenGroup = 8;   // tokens that share unpacked weights; divides a token block
constexpr int64_t kMinWork = 65536;  // multiply-adds; fewer are not worth waking a thread
constexpr int64_t kChunksPerThread = 4;

// The values of one linear op that its units of work share.
struct Linear {
  const LinearArgs& args;
  PanelKernel kernel;
  LeafCut cut;
  int64_t n_tokens;
  int64_t n_panels;
  int64_t token_stride;

  Linear(const LinearArgs& linear_args, PanelKernel panel_kernel)
      : args(linear_args),
        kernel(panel_kernel),
        cut(args.weights.leaf_k()),
        n_tokens(args.out.shape[1]),
        n_panels(ceil_div(args.weights.n_rows, kPanelRows)),
        token_stride(args.out_token_stride ? args.out_token_stride : args.weights.n_rows) {}

  // The part of a PanelJob that is the same for all panels, for tokens [first, end).
  PanelJob job_of_tokens(int64_t first, int64_t end) const {
    PanelJob job{};
    job.n_lanes = cut.n_lanes;
    job.n_blocks = cut.n_blocks;
    job.last_len = cut.last_len;
    job.leaf_headers = leaf_header_bytes(args.weights.type, args.weights.leaf_k());
    job.n_tokens = end - first;
    job.out_stride = token_stride;
    if (is_quantized(args.weights.type)) {
      const QuantizedActs& acts = args.x.quantized;
      job.q = acts.q.row<int8_t>(first);
      job.scale = acts.scale.row<float>(first);
      job.sum = acts.sum.row<float>(first);
      job.q_sum = acts.q_sum.row<int32_t>(first);
      job.q_stride = acts.q.row_stride;
      job.scale_stride = acts.scale.row_stride;
      job.sum_stride = acts.sum.row_stride;
      job.q_sum_stride = acts.q_sum.row_stride;
    } else {
      job.x = args.x.f32.row<float>(first);
      job.x_stride = args.x.f32.row_stride;
    }
    return job;
  }

  void run_panels(int64_t first_token, int64_t end_token, int64_t first_panel, int64_t end_panel,
                  ProgressCounter& progress) const {
    const PackedWeights& weights = args.weights;
    const PanelJob shared = job_of_tokens(first_token, end_token);
    for (int64_t panel = first_panel; panel < end_panel; ++panel) {
      PanelJob job = shared;
      const int64_t row = panel * kPanelRows;
      job.weights = weights.data + panel * panel_bytes(weights);
      job.n_rows = static_cast<int>(std::min<int64_t>(kPanelRows, weights.n_rows - row));
      std::array<float, kPanelRows> bias{};
      if (args.bias) {
        std::copy_n(args.bias.row<float>(0) + row, job.n_rows, bias.data());
        job.bias = bias.data();
      }
      run_subtrees(job, first_token * token_stride + row);
      progress.bump();
    }
  }

  // Runs the kernel on each subtree of one panel. The subtrees lie one after another in the weights
  // and in the activations.
  void run_subtrees(PanelJob job, int64_t out_offset) const {
    const LeafRange& leaves = args.weights.leaves;
    const int64_t leaf_k = args.weights.leaf_k();
    int subtree_idx = 0;
    for (int leaf = leaves.first; leaf < leaves.first + leaves.n; leaf += job.n_leaves) {
      job.n_leaves = subtree_at(leaves, leaf).n;
      job.block_in_super = block_in_super(args.weights, leaf - leaves.first);
      job.out = args.out.row<float>(subtree_idx++) + out_offset;
      kernel(job);
      const int64_t k = job.n_leaves * leaf_k;
      const int64_t n_blocks = job.n_leaves * cut.n_blocks;
      job.weights += job.n_leaves * leaf_bytes(args.weights.type, leaf_k);
      if (is_quantized(args.weights.type)) {
        job.q += k;
        job.scale += n_blocks;
        job.sum += n_blocks;
        job.q_sum += n_blocks;
      } else {
        job.x += k;
      }
    }
  }
};

// Tokens per token block: as many as fit the cache, or fewer if the panels are too few for the
// threads of the team.
int64_t token_block(const Linear& op, int n_threads) {
  const int64_t k = op.args.weights.k;
  const int64_t bytes_per_token = is_quantized(op.args.weights.type) ? k + k / 2 : 4 * k;
  const int64_t n_blocks =
      std::max(ceil_div(op.n_tokens * bytes_per_token, kTokenBlockBytes),
               ceil_div(kChunksPerThread * (n_threads - 1), std::max<int64_t>(op.n_panels, 1)));
  return round_up(ceil_div(op.n_tokens, std::max<int64_t>(n_blocks, 1)), kTokenGroup);
}

void run_linear(const LinearArgs& args, ThreadTeam& team, PanelKernel kernel) {
  CHECK(args.weights.layout == PackedLayout::kRows || !is_quantized(args.weights.type));
  const Linear op(args, kernel);
  if (op.n_tokens == 0 || op.n_panels == 0) return;
  const int64_t block = token_block(op, team.n_threads());
  const int64_t n_token_blocks = ceil_div(op.n_tokens, block);
  const int64_t work_per_panel = std::min(block, op.n_tokens) * args.weights.k * kPanelRows;
  const int64_t n_runs = team.n_runs(op.n_panels, ceil_div(kMinWork, work_per_panel));
  team.run(static_cast<int>(n_token_blocks * n_runs), [&](int chunk, int thread) {
    const int64_t first_token = chunk / n_runs * block;
    const int64_t run = chunk % n_runs;
    op.run_panels(first_token, std::min(first_token + block, op.n_tokens),
                  op.n_panels * run / n_runs, op.n_panels * (run + 1) / n_runs,
                  team.progress(thread));
  });
}

}  // namespace

void linear_portable(const LinearArgs& args, ThreadTeam& team) {
  run_linear(args, team, panel_kernel_portable(args.weights.type));
}

void linear_avx2(const LinearArgs& args, ThreadTeam& team) {
  const WeightType type = args.weights.type;
  run_linear(args, team,
             is_quantized(type) ? quant_panel_kernel_avx2(type) : float_panel_kernel_avx2(type));
}

void linear_avx512(const LinearArgs& args, ThreadTeam& team) {
  const WeightType type = args.weights.type;
  run_linear(
      args, team,
      is_quantized(type) ? quant_panel_kernel_avx512(type) : float_panel_kernel_avx512(type));
}

}  // namespace lockstep
