#include "kernels/cpu/sampling/candidates.h"

namespace lockstep {
namespace {

// Keeps the k best of keys[0, n) and returns their number.
int64_t keep_best(uint64_t* keys, int64_t n, int64_t k) {
  if (n <= k) return n;
  std::nth_element(keys, keys + k - 1, keys + n);
  return k;
}

}  // namespace

std::span<const uint64_t> best_keys(const SampleScan& scan, std::span<const float> z, int64_t k,
                                    std::span<uint64_t> space) {
  const int64_t n_z = static_cast<int64_t>(z.size());
  uint64_t* keys = space.data();
  const int64_t room = std::min<int64_t>(static_cast<int64_t>(space.size()), k + 3 * kSampleChunk);
  int64_t n = 0;
  float low = -FLT_MAX;  // logits below it cannot be among the k best
  for (int64_t first = 0; first < n_z; first += kSampleChunk) {
    const int64_t length = std::min<int64_t>(kSampleChunk, n_z - first);
    if (n + length > room) {
      n = keep_best(keys, n, k);
      low = z[static_cast<size_t>(id_of_key(keys[k - 1]))];
    }
    n += scan.gather(z.data() + first, length, low, std::numeric_limits<float>::infinity(),
                     static_cast<int32_t>(first), keys + n);
  }
  n = keep_best(keys, n, k);
  std::sort(keys, keys + n);
  return {keys, static_cast<size_t>(n)};
}

std::span<const uint64_t> FallingBands::next() {
  ++n_bands_;
  float low = top_ - width_ * static_cast<float>(n_bands_);
  if (n_bands_ == kMaxBands || !(low > -FLT_MAX)) {
    low = -FLT_MAX;
    done_ = true;
  }
  uint64_t* band = space_.data() + n_given_;
  const int64_t n = scan_.gather(z_.data(), static_cast<int64_t>(z_.size()), low, high_, 0, band);
  high_ = low;
  n_given_ += static_cast<size_t>(n);
  std::sort(band, band + n);
  return {band, static_cast<size_t>(n)};
}

}  // namespace lockstep
