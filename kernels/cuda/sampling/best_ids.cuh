// The best ids of a row in sorted order, in batches: a CUDA block finds the next so many without
// sorting the row. An id and its logit are a key of 64 bits; lesser keys are better ones.
#pragma once

#include <cstdint>

#include "kernels/cuda/sampling/sample_params.cuh"

namespace lockstep::cuda {

inline constexpr int kDrawThreads = 512;
inline constexpr int kFirstBatch = 128;  // ids; enough for most rows
inline constexpr int kBatch = 1024;      // ids of every later batch
inline constexpr int kMaxKeys = kBatch + kSampleChunk;
static_assert(kBatch + kSampleChunk == 2 * kBatch);

inline constexpr uint64_t kNoKey = ~uint64_t{0};

// Larger logits first, -0 as +0, ties to the lowest id.
__device__ inline uint64_t key_of(float z, int id) {
  const auto bits = static_cast<uint32_t>(__float_as_int(z + 0.0f));
  const uint32_t falling = (bits & 0x80000000u) != 0 ? bits : ~(bits | 0x80000000u);
  return uint64_t{falling} << 32 | static_cast<uint32_t>(id);
}
__device__ inline int id_of_key(uint64_t key) { return static_cast<int>(key & 0xffffffffu); }
__device__ inline float logit_of_key(uint64_t key) {
  const auto falling = static_cast<uint32_t>(key >> 32);
  const uint32_t bits = (falling & 0x80000000u) != 0 ? falling : ~falling & 0x7fffffffu;
  return __int_as_float(static_cast<int>(bits));
}

// In shared memory.
struct BestKeys {
  uint64_t keys[kMaxKeys];
  int n_keys;  // while they are looked for
};

// Sorts keys[0, n) ascending (bitonic) and writes kNoKey behind them, up to the next power of two.
// The threads of the block must call it together.
__device__ inline void sort_keys(uint64_t* keys, int n) {
  const int thread = static_cast<int>(threadIdx.x);
  int size = 1;
  while (size < n) size *= 2;
  for (int i = n + thread; i < size; i += kDrawThreads) keys[i] = kNoKey;
  for (int run = 2; run <= size; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();  // the keys, or the exchanges before, are written
      for (int i = thread; i < size / 2; i += kDrawThreads) {
        const int low = 2 * i - (i & (distance - 1));
        const uint64_t a = keys[low], b = keys[low + distance];
        const bool ascending = (low & run) == 0;
        if ((a > b) == ascending) {
          keys[low] = b;
          keys[low + distance] = a;
        }
      }
    }
  }
  __syncthreads();  // every key is in its place
}

// Puts the best `wanted` <= kBatch of the ids with keys >= from and logits above -Inf in keys[0,
// n), sorted, and returns n; fewer if there are no more. `maxima` has the largest logit of each
// chunk. The threads of the block must call it together, and no longer use the keys.
__device__ inline int best_keys(const float* z, const float* maxima, int vocab_size, uint64_t from,
                                int wanted, BestKeys& best) {
  uint64_t* const keys = best.keys;
  int n = 0;
  uint64_t worst = kNoKey;  // keys above it cannot be among the best
  const auto keep_best = [&] {
    const int n_kept = n < wanted ? n : wanted;
    if (threadIdx.x == 0) best.n_keys = n_kept;
    sort_keys(keys, n);
    if (n >= wanted) worst = keys[wanted - 1];
    n = n_kept;
  };
  if (threadIdx.x == 0) best.n_keys = 0;
  __syncthreads();  // n_keys is written
  for (int first = 0; first < vocab_size; first += kSampleChunk) {
    if (key_of(maxima[first / kSampleChunk], first) > worst) continue;
    if (n + kSampleChunk > kMaxKeys) keep_best();
    const int end = first + kSampleChunk < vocab_size ? first + kSampleChunk : vocab_size;
    for (int id = first + static_cast<int>(threadIdx.x); id < end; id += kDrawThreads) {
      const float value = z[id];
      const uint64_t key = key_of(value, id);
      if (value >= -FLT_MAX && key >= from && key < worst) keys[atomicAdd(&best.n_keys, 1)] = key;
    }
    __syncthreads();  // the keys of the chunk are written
    n = best.n_keys;
    __syncthreads();  // every thread has read n_keys
  }
  keep_best();
  return n;
}

}  // namespace lockstep::cuda
