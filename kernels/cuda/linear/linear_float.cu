// Linear with float weights: one fp32 fma chain for each lane of a leaf, k ascending, which no
// tensor core can do. Each warp lane sums 4 rows of a panel for one token; a slot is four warp
// lanes, with all 16 rows. A warp has 8 slots: 8 runs of chains (chains.cuh) of one token, or one
// run of 8 tokens, whose reads of the weights are the same.
//
//   warp lane     0  1  2  3 |  4  5  6  7 | …
//   rows          0  4  8 12 |  0  4  8 12 |
//   slot               0     |      1      | …
#include <cuda_fp16.h>

#include "kernels/cuda/linear/linear_params.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kSlots = 8;        // of a warp
constexpr int kRowsPerLane = 4;  // adjacent
constexpr int kLanesPerSlot = kPanelRows / kRowsPerLane;

// Four adjacent rows of one column.
template <WeightType kType>
struct alignas(kType == WeightType::kF32 ? 16 : 8) FourRows {
  using Word = std::conditional_t<kType == WeightType::kF32, float, uint16_t>;
  Word words[kRowsPerLane];

  __device__ __forceinline__ float at(int i) const {
    if constexpr (kType == WeightType::kF32) {
      return words[i];
    } else if constexpr (kType == WeightType::kF16) {
      return __half2float(__ushort_as_half(words[i]));
    } else {
      return __int_as_float(static_cast<int>(uint32_t{words[i]} << 16));
    }
  }
};

// Adds one block of n values.
template <WeightType kType>
__device__ __forceinline__ void add_values(const FourRows<kType>* w, const float* x, int n,
                                           float (&acc)[kRowsPerLane]) {
#pragma unroll 8
  for (int k = 0; k < n; ++k) {
    const FourRows<kType> rows = w[k * kLanesPerSlot];
    const float value = x[k];
#pragma unroll
    for (int i = 0; i < kRowsPerLane; ++i) acc[i] = fmaf(rows.at(i), value, acc[i]);
  }
}

// The sum of a run for the rows and the token of this lane. x: the token's activations.
template <WeightType kType>
__device__ __forceinline__ void sum_run(const LinearParams& p, const Run& run,
                                        const std::byte* panel, const float* x, int lane,
                                        float (&acc)[kRowsPerLane]) {
  const Chains& chains = p.chains;
  const auto* values = reinterpret_cast<const FourRows<kType>*>(panel) + lane % kLanesPerSlot;
  PendingSums<kRowsPerLane> pending;
  for (int i = 0; i < run.n_chains; ++i) {
    const Chain chain = chain_at(chains, run.first_chain + i);
#pragma unroll
    for (float& sum : acc) sum = 0.0f;
    const int64_t of_leaf = chain.leaf * p.leaf_k;
    int place = place_of(chains, chain) - chain.leaf * chains.n_blocks;
    int block = chain.lane;  // both in the leaf
    for (int b = 0; b < chain.n_blocks; ++b, ++place, block += chains.n_lanes) {
      const int n_missing = place > chains.last_place ? kBlockLen - chains.last_len : 0;
      const int n = block == chains.n_blocks - 1 ? chains.last_len : kBlockLen;
      add_values<kType>(values + (of_leaf + place * kBlockLen - n_missing) * kLanesPerSlot,
                        x + of_leaf + block * kBlockLen, n, acc);
    }
    pending.join(i, i + 1 == run.n_chains, acc);
  }
}

template <WeightType kType, int kTokens>
__global__ void __launch_bounds__(kWarps* kWarpSize, 2)
    float_rows(const __grid_constant__ LinearParams p) {
  constexpr int kUnitsPerWarp = kSlots / kTokens;
  __shared__ float sums[kWarps * kUnitsPerWarp * kRunSums<kTokens>];
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int slot = lane / kLanesPerSlot;
  const int unit = warp * kUnitsPerWarp + slot / kTokens;
  const int first_panel = static_cast<int>(blockIdx.y) * p.panels_per_block;
  const int first_token = static_cast<int>(blockIdx.x) * kTokens;
  const int panel = first_panel + unit / p.units_per_panel;
  const int run = unit % p.units_per_panel;
  const int token = slot % kTokens;
  const bool is_used = unit < p.panels_per_block * p.units_per_panel && panel < p.n_panels;
  if (is_used && run < p.chains.n_runs && first_token + token < p.n_tokens) {
    float acc[kRowsPerLane];
    sum_run<kType>(p, run_at(p.chains, run), p.weights + panel * p.bytes_per_panel,
                   p.x + (first_token + token) * p.x_stride, lane, acc);
#pragma unroll
    for (int i = 0; i < kRowsPerLane; ++i) {
      sums[unit * kRunSums<kTokens> + token * kSumStride + lane % kLanesPerSlot * kRowsPerLane +
           i] = acc[i];
    }
  }
  __syncthreads();  // the sums of all runs are there
  join_runs<kTokens>(p, sums, first_panel, first_token);
}

template <WeightType kType, int kTokens>
void launch_float(const LinearArgs& args, LinearParams& p, int n_sms, cudaStream_t stream) {
  constexpr int kUnits = kWarps * kSlots / kTokens;
  p.chains = make_at_most(args.weights, kUnits);
  const unsigned n_groups = blocks_for(p.n_tokens, kTokens);
  set_panels_per_block(p, kUnits, n_groups, n_sms);
  const int n_units = p.panels_per_block * p.units_per_panel;
  launch(float_rows<kType, kTokens>, dim3(n_groups, blocks_for(p.n_panels, p.panels_per_block)),
         static_cast<int>(blocks_for(n_units * kTokens, kSlots)) * kWarpSize, stream, p);
}

template <WeightType kType>
void launch_type(const LinearArgs& args, LinearParams& p, int n_sms, cudaStream_t stream) {
  if (p.n_tokens == 1) return launch_float<kType, 1>(args, p, n_sms, stream);
  launch_float<kType, kSlots>(args, p, n_sms, stream);
}

}  // namespace

void linear_float(const LinearArgs& args, int n_sms, cudaStream_t stream) {
  LinearParams p = linear_params(args);
  switch (args.weights.type) {
    case WeightType::kF32:
      return launch_type<WeightType::kF32>(args, p, n_sms, stream);
    case WeightType::kF16:
      return launch_type<WeightType::kF16>(args, p, n_sms, stream);
    default:
      CHECK(args.weights.type == WeightType::kBF16);
      return launch_type<WeightType::kBF16>(args, p, n_sms, stream);
  }
}

}  // namespace lockstep::cuda
