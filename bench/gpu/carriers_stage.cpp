#include <cstdio>
#include <vector>

#include "bench/gpu/first_gpu.h"
#include "common/log.h"
#include "kernels/cuda/bench/carriers.h"

namespace lockstep::gpu_check {
namespace {

struct NamedSums {
  const char* what;
  CarrierCase numbers;
};

// The factors of linear() and of attention, K and V in parts of 8 bits as the kernels take them
// apart, and the largest sums that docs/numerics.md allows: up to 2^24 less a few thousand.
constexpr NamedSums kSums[] = {
    {"linear: int8 x int8, 32 products", {-127, 127, -128, 127, 32, true}},
    {"linear: all -128 x 127", {127, 127, -128, -128, 32, true}},
    {"linear: weights of 5 bits", {-127, 127, 0, 31, 32, true}},
    {"scores: q x high byte of K", {-2047, 2047, -128, 127, 32, false}},
    {"scores: q x low byte of K", {-2047, 2047, 0, 255, 32, false}},
    {"scores: all q 2047, K 32767, high byte", {2047, 2047, 127, 127, 32, false}},
    {"scores: all q 2047, K 32767, low byte", {2047, 2047, 255, 255, 32, false}},
    {"scores: all q -2047, low byte 255", {-2047, -2047, 255, 255, 32, false}},
    {"values: P x V", {0, 2047, -127, 127, 64, false}},
    {"values: all P 2047, V 127", {2047, 2047, 127, 127, 64, false}},
    {"values: all P 2047, V -127", {2047, 2047, -127, -127, 64, false}},
    {"values: P x V, V near 127", {2000, 2047, 120, 127, 64, false}},
    {"values: all P 2047, V -128", {2047, 2047, -128, -128, 64, false}},
};

}  // namespace

int check_carriers(const Options& options, const Gpus& gpus, Report& report) {
  FirstGpu gpu(gpus);
  auto& carriers = gpu.entry<CudaCarriers>("lockstep_cuda_carriers");
  const int n_warps = options.sizes == Sizes::kLarge ? 8192 : 8;
  const int n_tiles = options.sizes == Sizes::kLarge ? 80 : 2;  // of 128 sums
  const int64_t n_sums = int64_t{n_warps} * n_tiles * 128;
  std::vector<CarrierCounts> counts(static_cast<size_t>(n_warps));
  const auto n_bytes = static_cast<int64_t>(counts.size() * sizeof(CarrierCounts));
  const DeviceBuffer on_device(gpu.device(), gpu.ledger(), MemoryTag::kOther, n_bytes);
  int64_t n_all = 0, n_wrong = 0;
  uint64_t seed = 1;
  for (const auto& [what, numbers] : kSums) {
    if (report.out_of_time()) break;
    CarrierCase seeded = numbers;
    seeded.seed = seed++;
    carriers(gpu.stream(), seeded, n_warps, n_tiles, on_device.as<CarrierCounts>());
    gpu.stream().wait();
    gpu.device().download(counts.data(), on_device.data(), n_bytes);
    int64_t f16 = 0, bytes = 0;
    for (const CarrierCounts& count : counts) {
      f16 += count.f16;
      bytes += count.bytes;
    }
    n_all += n_sums;
    n_wrong += f16 + bytes;
    char text[120];
    std::snprintf(text, sizeof text, "%-42s %11ld sums, wrong: %ld as f16, %s as bytes", what,
                  long(n_sums), long(f16), numbers.bytes ? std::to_string(bytes).c_str() : "none");
    report.result(text, JsonObject()
                            .add("what", what)
                            .add("sums", n_sums)
                            .add("wrong_f16", f16)
                            .add("wrong_bytes", bytes));
  }
  return report.ended(n_wrong == 0, str(n_wrong, " of ", n_all, " sums of tensor cores are wrong"));
}

}  // namespace lockstep::gpu_check
