// Stands in for the toolkit's <cuda_runtime.h> when kernels/cuda is compiled by a C++ compiler: the
// words of CUDA C++, its built-ins, and the part of the run-time API that kernels/cuda calls, over
// host memory. What a device would leave unset is filled with NaNs. Work on streams runs at once,
// or when the host asks for it (platform.h).
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/shared_memory.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

#define __syncthreads() ::lockstep::cuda_emulation::sync_threads(__FILE__, __LINE__)
#define __trap() ::lockstep::cuda_emulation::trap(__func__)

struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// --- Built-ins of device code ---

template <class T>
T __ldg(const T* p) {
  return *p;
}

// Values of up to 8 bytes of all lanes in `mask`, as bits.
template <class T, class Pick>
T cuda_emulation_pick(unsigned mask, T mine, const char* what, const Pick& pick_lane) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0, of_lane[32];
  std::memcpy(&bits, &mine, sizeof mine);
  lockstep::cuda_emulation::exchange(mask, bits, of_lane, what);
  T picked;
  std::memcpy(&picked, &of_lane[pick_lane(static_cast<int>(threadIdx.x % 32))], sizeof picked);
  return picked;
}

template <class T>
T __shfl_xor_sync(unsigned mask, T mine, int lane_mask) {
  return cuda_emulation_pick(mask, mine, "__shfl_xor_sync",
                             [=](int lane) { return lane ^ lane_mask; });
}

template <class T>
T __shfl_up_sync(unsigned mask, T mine, unsigned delta) {
  return cuda_emulation_pick(mask, mine, "__shfl_up_sync", [=](int lane) {
    return lane >= static_cast<int>(delta) ? lane - static_cast<int>(delta) : lane;
  });
}

template <class T>
T __shfl_sync(unsigned mask, T mine, int source) {
  return cuda_emulation_pick(mask, mine, "__shfl_sync", [=](int) { return source & 31; });
}

inline int __any_sync(unsigned mask, int predicate) {
  uint64_t of_lane[32];
  lockstep::cuda_emulation::exchange(mask, predicate != 0 ? 1 : 0, of_lane, "__any_sync");
  bool any = false;
  for (int lane = 0; lane < 32; ++lane) any = any || ((mask >> lane & 1) != 0 && of_lane[lane]);
  return any ? 1 : 0;
}

inline void __syncwarp(unsigned mask = ~0u) {
  uint64_t of_lane[32];
  lockstep::cuda_emulation::exchange(mask, 0, of_lane, "__syncwarp");
}

inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 32; i += 8) c += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
  return c;
}

// A thread is not interrupted between two calls of the emulator.
inline int atomicAdd(int* to, int value) { return std::exchange(*to, *to + value); }
inline int atomicExch(int* to, int value) { return std::exchange(*to, value); }
inline int atomicMax(int* to, int value) { return std::exchange(*to, value > *to ? value : *to); }
inline int atomicMin(int* to, int value) { return std::exchange(*to, value < *to ? value : *to); }

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }

// --- The run-time API ---

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidPitchValue = 12,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801
};
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice
};
struct cuda_emulation_stream;
struct cuda_emulation_event;
using cudaStream_t = cuda_emulation_stream*;  // nullptr: the default stream of the current device
using cudaEvent_t = cuda_emulation_event*;
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDefault = 0;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocDefault = 0;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor;
};

enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDeviceCount(int* n);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceGetPCIBusId(char* text, int n_bytes, int device);
cudaError_t cudaSetDevice(int device);  // of this OS thread
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);

// Of the current device, whose memory a test sets (platform.h). Pinned memory is not counted.
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
// Both free functions wait for the device.
cudaError_t cudaMalloc(void** data, size_t n_bytes);
cudaError_t cudaFree(void* data);
cudaError_t cudaMallocHost(void** data, size_t n_bytes);
cudaError_t cudaHostAlloc(void** data, size_t n_bytes, unsigned flags);
cudaError_t cudaFreeHost(void* data);

// The copies refuse a kind that the addresses do not bear out, and bytes beyond an allocation.
// An asynchronous copy reads its source when it runs; one from pageable memory, when it is called;
// one to pageable memory returns when it is done.
cudaError_t cudaMemcpy(void* to, const void* from, size_t n_bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
// n_rows rows of `width` bytes, each of which begins a pitch behind the one before.
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t n_rows, cudaMemcpyKind kind,
                              cudaStream_t stream);
// Of device memory.
cudaError_t cudaMemsetAsync(void* data, int value, size_t n_bytes, cudaStream_t stream);
cudaError_t cudaMemset2DAsync(void* data, size_t pitch, int value, size_t width, size_t n_rows,
                              cudaStream_t stream);

// Streams that the default stream waits for are not modelled: flags must be cudaStreamNonBlocking.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

// An event that was never recorded is done.
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
// Of the clock of the host. Both events must have times.
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end);

// Graphs of launches and copies, without events.
struct cuda_emulation_graph;
using cudaGraph_t = cuda_emulation_graph*;
using cudaGraphExec_t = cuda_emulation_graph*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* runnable, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t runnable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t runnable);

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

// Queues `work` on the stream. What a device would refuse to launch is a KernelFault, or an error
// (Platform::faults_are_errors).
cudaError_t cuda_emulation_launch(const cudaLaunchConfig_t& config, std::function<void()> work);

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return cuda_emulation_launch(*config,
                               [kernel, parameters = std::tuple<Parameters...>(arguments...)] {
                                 std::apply(kernel, parameters);
                               });
}
