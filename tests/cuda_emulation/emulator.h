// The CUDA execution model on a CPU thread, so that kernels/cuda can be run, bit for bit and under
// sanitizers, where no GPU is. A block's threads are fibers; the blocks of a grid run one after
// another. Grids that several OS threads run do not wait for each other. The order in which the
// threads of a block run is a test's choice, so that a missing barrier shows.
//
// Models: shared memory (NaNs until a block writes it), __syncthreads, warp shuffles, votes and
// __syncwarp under a mask, traps.
// Reports: barriers and shuffles that not all threads reach, a lane outside its own mask.
// Does not model: timing, memory banks, races between blocks, memory ordering.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
};

// CUDA's built-in variables: of the kernel thread that is running.
extern thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace lockstep::cuda_emulation {

// What a kernel did that a GPU would hang or fault on.
class KernelFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A __syncthreads() in the source.
struct BarrierSite {
  std::string file;
  int line = 0;
  auto operator<=>(const BarrierSite&) const = default;
};

struct ThreadOrder {
  enum Kind : uint8_t { kForward, kReverse, kSeeded };
  Kind kind = kForward;
  uint64_t seed = 0;  // of kSeeded: another shuffle for every block
};

struct Options {
  ThreadOrder order;
  // As if it had been deleted: how a test proves that a barrier is needed.
  std::optional<BarrierSite> deleted_barrier;
};

// Of all launches from now on, in this OS thread.
void set_options(const Options& options);
// Where threads have met since set_options, in this OS thread.
std::vector<BarrierSite> barriers_reached();

// The devices that calls of this OS thread have made a context on, ascending. A call that names no
// device makes one on the thread's current device, which is 0 until it is set.
std::vector<int> devices_used();

// Runs body() once per thread of the grid. Throws KernelFault.
void run_grid(dim3 grid, dim3 block, const std::function<void()>& body);

// --- What the running kernel sees; called from inside body only. ---
void sync_threads(const char* file, int line);
// Lane's value of every lane in `mask` once all of them have called; `what` for reports.
void exchange(unsigned mask, uint64_t mine, uint64_t (&of_lane)[32], const char* what);
[[noreturn]] void trap(const char* what);

}  // namespace lockstep::cuda_emulation
