// What the linear kernels get, and the last step that two of them share.
#pragma once

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"
#include "kernels/cuda/linear/chains.cuh"
#include "kernels/ops.h"

namespace lockstep::cuda {

struct LinearParams {
  const std::byte* weights = nullptr;  // 16-byte aligned
  int64_t bytes_per_panel = 0;
  // K-quants: bytes of the headers before the blocks of a leaf, and the index of the rank's first
  // block in its super-block (kernels/layout/packed_layout.h).
  int leaf_headers = 0, block_in_super = 0;
  int n_rows = 0, n_panels = 0, n_tokens = 0;
  int64_t leaf_k = 0;
  Chains chains;

  // Activations for quantised weights; q and its rows are 16-byte aligned.
  const int8_t* q = nullptr;
  const float* scale = nullptr;
  const float* sum = nullptr;
  int64_t q_stride = 0, scale_stride = 0, sum_stride = 0;
  // Activations for float weights.
  const float* x = nullptr;
  int64_t x_stride = 0;

  const float* bias = nullptr;
  float* out = nullptr;  // [subtree or run][token][row]
  int64_t out_stride = 0, out_token_stride = 0;

  // Of kernels whose CUDA blocks join the runs of their panels (join_runs).
  int units_per_panel = 1;  // runs of a panel, rounded up to a power of two
  int panels_per_block = 1;
};

LinearParams linear_params(const LinearArgs& args);

// Host: panels for each CUDA block of at most `units` runs; fewer panels, down to one, if SMs would
// be idle otherwise.
inline void set_panels_per_block(LinearParams& p, int units, int64_t n_token_groups, int n_sms) {
  while (p.units_per_panel < p.chains.n_runs) p.units_per_panel *= 2;
  CHECK(p.units_per_panel <= units);
  p.panels_per_block = units / p.units_per_panel;
  while (p.panels_per_block > 1 &&
         blocks_for(p.n_panels, p.panels_per_block) * n_token_groups < int64_t{2} * n_sms) {
    p.panels_per_block /= 2;
  }
}

// Shared memory for the sum of a run for 16 rows and kTokens tokens. Row `row` of token `token` is
// at token * kSumStride + row; the stride keeps the lanes of a tensor core's result in different
// banks.
inline constexpr int kSumStride = kPanelRows + 4;
template <int kTokens>
inline constexpr int kRunSums = kSumStride* kTokens;

// Adds the runs of the panels of this CUDA block and writes the outputs of kTokens tokens. `sums`:
// [panel of this CUDA block][units_per_panel] of kRunSums<kTokens> in shared memory, all written.
template <int kTokens>
__device__ __forceinline__ void join_runs(const LinearParams& p, float* sums, int first_panel,
                                          int first_token) {
  constexpr int kOutputs = kPanelRows * kTokens;
  for (int i = static_cast<int>(threadIdx.x); i < p.panels_per_block * kOutputs;
       i += static_cast<int>(blockDim.x)) {
    const int panel = i / kOutputs;
    const int row = (first_panel + panel) * kPanelRows + i % kPanelRows;
    const int token = i % kOutputs / kPanelRows;
    if (row >= p.n_rows || first_token + token >= p.n_tokens) continue;
    float* runs =
        sums + panel * p.units_per_panel * kRunSums<kTokens> + token * kSumStride + i % kPanelRows;
    for (int s = 0; s < p.chains.n_subtrees; ++s) {
      const SubtreeRuns& subtree = p.chains.subtrees[s];
      float y = sum_neighbours(runs + subtree.first_run * kRunSums<kTokens>, subtree.n_runs,
                               kRunSums<kTokens>);
      if (p.bias != nullptr) y = y + p.bias[row];
      p.out[s * p.out_stride + (first_token + token) * p.out_token_stride + row] = y;
    }
  }
}

// The kernels among which linear() chooses. All take any number of tokens above 0.
void linear_skinny(const LinearArgs& args, int n_sms, cudaStream_t stream);
// False, with nothing launched, if the sums of one tile of tokens do not fit the scratch. If each
// subtree is one run, no scratch is needed.
bool linear_tiled(const LinearArgs& args, const StreamScratch& scratch, int n_sms,
                  cudaStream_t stream);
void linear_float(const LinearArgs& args, int n_sms, cudaStream_t stream);

}  // namespace lockstep::cuda
