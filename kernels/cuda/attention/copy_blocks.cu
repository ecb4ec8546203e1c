// copy_blocks: whole KV blocks of one layer. A thread owns the same word of every block and makes
// all copies of it in their order, so a block that one copy writes and a later one reads needs no
// barrier.
#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 128;

struct CopyParams {
  std::byte* data = nullptr;
  int64_t block_bytes = 0;
  int n_blocks = 0;
  const int32_t* from = nullptr;
  const int32_t* to = nullptr;
  int n = 0;
};

template <class Word>
__global__ void __launch_bounds__(kThreads) copy_words(const __grid_constant__ CopyParams p) {
  const int64_t at = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * int64_t{sizeof(Word)};
  if (at >= p.block_bytes) return;
  for (int i = 0; i < p.n; ++i) {
    const int from = p.from[i], to = p.to[i];
    device_check(from >= 0 && from < p.n_blocks && to >= 0 && to < p.n_blocks);
    *reinterpret_cast<Word*>(p.data + to * p.block_bytes + at) =
        *reinterpret_cast<const Word*>(p.data + from * p.block_bytes + at);
  }
}

template <class Word>
void launch_copy(const CopyParams& p, cudaStream_t stream) {
  launch(copy_words<Word>, dim3(blocks_for(p.block_bytes, kThreads * int64_t{sizeof(Word)})),
         kThreads, stream, p);
}

}  // namespace

void copy_blocks(const CopyBlocksArgs& args, cudaStream_t stream) {
  CopyParams p;
  p.data = args.kv.data;
  p.block_bytes = args.kv.block_bytes;
  p.n_blocks = static_cast<int>(args.kv.n_blocks);
  p.from = static_cast<const int32_t*>(args.from.data);
  p.to = static_cast<const int32_t*>(args.to.data);
  p.n = static_cast<int>(args.from.shape[0]);
  if (p.n == 0) return;
  const auto address = reinterpret_cast<uintptr_t>(p.data);
  const bool words_of_16 = (address | static_cast<uintptr_t>(p.block_bytes)) % sizeof(int4) == 0;
  return words_of_16 ? launch_copy<int4>(p, stream) : launch_copy<std::byte>(p, stream);
}

}  // namespace lockstep::cuda
