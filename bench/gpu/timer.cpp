#include "bench/gpu/timer.h"

#include <algorithm>
#include <vector>

#include "common/units.h"

namespace lockstep::gpu_check {
namespace {

constexpr double kRoundMicroseconds = 5'000.0;  // that the calls of a round should take
constexpr int kMostRuns = 50;

}  // namespace

Timer::Timer(FirstGpu& gpu, Sizes sizes)
    : gpu_(gpu),
      sizes_(sizes),
      n_sms_(gpu.entry<CudaMultiprocessors>("lockstep_cuda_multiprocessors")(gpu.stream())) {}

DeviceBuffer Timer::noise(int64_t n_bytes) const {
  DeviceBuffer buffer(gpu_.device(), gpu_.ledger(), MemoryTag::kOther, n_bytes);
  std::vector<uint8_t> bytes(static_cast<size_t>(std::min<int64_t>(n_bytes, 16_MiB)));
  Random random(1);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.integer(0x20, 0x3b));
  auto& copy = gpu_.entry<CudaCopy>("lockstep_cuda_copy");
  int64_t n_done = std::ssize(bytes);
  gpu_.device().upload(buffer.data(), bytes.data(), n_done);
  while (n_done < n_bytes) {
    const int64_t n = std::min(n_done, n_bytes - n_done);
    copy(gpu_.stream(), buffer.data() + n_done, buffer.data(), n);
    n_done += n;
  }
  gpu_.stream().wait();
  return buffer;
}

double Timer::microseconds(const std::function<void()>& launches) const {
  auto& time = gpu_.entry<CudaTime>("lockstep_cuda_time");
  launches();  // loads the kernels, which a capture of launches may not do
  gpu_.stream().wait();
  const double about = time(gpu_.stream(), launches, 1);
  if (sizes_ == Sizes::kSmall) return about;
  const int n_runs =
      std::clamp(static_cast<int>(kRoundMicroseconds / std::max(about, 0.1)), 2, kMostRuns);
  std::vector<double> rounds;
  for (int round = 0; round < 5; ++round) rounds.push_back(time(gpu_.stream(), launches, n_runs));
  std::sort(rounds.begin(), rounds.end());
  return rounds[rounds.size() / 2];
}

}  // namespace lockstep::gpu_check
