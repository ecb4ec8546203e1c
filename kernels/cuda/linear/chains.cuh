// The order in which the linear kernels add (docs/numerics.md section 2). A chain is one lane of
// one leaf; its blocks lie one after another in a panel, and so do the chains. A run is up to 16
// neighbouring chains that one warp or one CUDA block adds, as a subtree of the tree:
//
//   16 chains in runs of 4:   (0 1 2 3)   (4 5 6 7)   (8 9 10 11)   (12 13 14 15)
//                                 run 0       run 1        run 2         run 3
//
// A run begins at a multiple of its length (a power of two) in its subtree of leaves. So the tree
// of neighbours over the sums of the runs adds what the tree over the chains would.
#pragma once

#include <algorithm>

#include "kernels/layout/packed_layout.h"

namespace lockstep::cuda {

inline constexpr int kMaxRunChains = 16;
inline constexpr int kRunLevels = 4;  // log2 of that

// A subtree of leaves that this rank owns, in chains and in runs, counted over all its subtrees.
struct SubtreeRuns {
  int first_chain, n_chains;
  int first_run, n_runs;
};

struct Chains {
  int n_blocks = 0;           // of a leaf
  int n_lanes = 1;            // of a leaf
  int n_even = 0, n_odd = 0;  // a lane has n_even blocks, the first n_odd lanes have one more
  int last_len = kBlockLen;   // values of the last block of a leaf, the only one that can be short
  int last_place = 0;         // of that block in its leaf, in the order of the bytes of a panel
  int n_chains = 0;
  int chains_per_run = 1;
  int n_runs = 0;
  int n_subtrees = 0;
  SubtreeRuns subtrees[kMaxLeaves];
};

// Host: the chains of a matrix in runs of chains_per_run.
inline Chains make_chains(const PackedWeights& weights, int chains_per_run) {
  const LeafCut cut(weights.leaf_k());
  Chains chains;
  chains.n_blocks = static_cast<int>(cut.n_blocks);
  chains.n_lanes = cut.n_lanes;
  chains.n_even = chains.n_blocks / chains.n_lanes;
  chains.n_odd = chains.n_blocks % chains.n_lanes;
  chains.last_len = cut.last_len;
  chains.last_place = static_cast<int>(cut.place(cut.n_blocks - 1));
  chains.chains_per_run = chains_per_run;
  for (const Subtree& s : owned_subtrees(weights.leaves)) {
    SubtreeRuns& runs = chains.subtrees[chains.n_subtrees++];
    runs.first_chain = chains.n_chains;
    runs.n_chains = s.n * cut.n_lanes;
    runs.first_run = chains.n_runs;
    runs.n_runs = (runs.n_chains + chains_per_run - 1) / chains_per_run;
    chains.n_chains += runs.n_chains;
    chains.n_runs += runs.n_runs;
  }
  return chains;
}

// Host: the same in the shortest runs of which there are at most max_runs, at least 8.
inline Chains make_at_most(const PackedWeights& weights, int max_runs) {
  for (int chains_per_run = 1;; chains_per_run *= 2) {
    const Chains chains = make_chains(weights, chains_per_run);
    if (chains.n_runs <= max_runs || chains_per_run == kMaxRunChains) return chains;
  }
}

struct Run {
  int first_chain, n_chains;
};

__device__ inline Run run_at(const Chains& chains, int run) {
  int s = 0;
  while (run >= chains.subtrees[s].first_run + chains.subtrees[s].n_runs) ++s;
  const SubtreeRuns& subtree = chains.subtrees[s];
  const int before = (run - subtree.first_run) * chains.chains_per_run;
  const int left = subtree.n_chains - before;
  return {subtree.first_chain + before,
          left < chains.chains_per_run ? left : chains.chains_per_run};
}

struct Chain {
  int leaf, lane;
  int column;  // of its first block, in column order; the next one is n_lanes further
  int n_blocks;
};

__device__ inline Chain chain_at(const Chains& chains, int leaf, int lane) {
  return {leaf, lane, leaf * chains.n_blocks + lane, chains.n_even + (lane < chains.n_odd ? 1 : 0)};
}
__device__ inline Chain chain_at(const Chains& chains, int chain) {
  return chain_at(chains, chain / chains.n_lanes, chain % chains.n_lanes);
}
__device__ inline Chain chain_after(const Chains& chains, const Chain& chain) {
  const bool is_last_lane = chain.lane + 1 == chains.n_lanes;
  return chain_at(chains, chain.leaf + is_last_lane, is_last_lane ? 0 : chain.lane + 1);
}

// The place of a chain's first block, in the order of the bytes of a panel.
__device__ inline int place_of(const Chains& chains, const Chain& chain) {
  return chain.leaf * chains.n_blocks + chain.lane * chains.n_even +
         (chain.lane < chains.n_odd ? chain.lane : chains.n_odd);
}

// Sums of a run that wait for their right neighbour: level l holds the sum of 2^l chains. They are
// touched once a chain and would be most registers of a thread, so they are left to local memory,
// that is to the L1 cache.
template <int kValues>
struct PendingSums {
  struct alignas(16) Level {
    float values[kValues];
  };
  Level levels[kRunLevels];

  // Takes the sum of chain `chain_idx` of the run, in ascending order; with the last, `sum` becomes
  // the sum of the run. As in counting, a sum that completes a pair is carried to the next level;
  // an odd last one passes up unchanged.
  __device__ __forceinline__ void join(int chain_idx, bool is_last, float (&sum)[kValues]) {
#pragma unroll 1
    for (int level = 0; !is_last || chain_idx >> level != 0; ++level) {
      if ((chain_idx >> level & 1) != 0) {
#pragma unroll
        for (int i = 0; i < kValues; ++i) sum[i] = levels[level].values[i] + sum[i];
      } else if (!is_last) {
#pragma unroll
        for (int i = 0; i < kValues; ++i) levels[level].values[i] = sum[i];
        return;
      }
    }
  }
};

// The tree of neighbours over values[0], values[stride], …, in place; the sum ends in values[0].
__device__ __forceinline__ float sum_neighbours(float* values, int n, int stride) {
  for (; n > 1; n = n / 2 + n % 2) {
    for (int i = 0; i < n / 2; ++i) {
      values[i * stride] = values[2 * i * stride] + values[(2 * i + 1) * stride];
    }
    if (n % 2 == 1) values[n / 2 * stride] = values[(n - 1) * stride];
  }
  return values[0];
}

}  // namespace lockstep::cuda
