// Selection of the best candidates of a row without sorting the row: the k best, or bands of
// falling logits, as many as the caller asks for. Both give exactly the order of a full sort.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/cpu/sampling/sample_scan.h"
#include "kernels/sampling.h"

namespace lockstep {

// Keys of the k largest finite z, best first; fewer if the row has fewer. `space` must hold
// k + kSampleChunk keys, or as many keys as the row has logits.
std::span<const uint64_t> best_keys(const SampleScan& scan, std::span<const float> z, int64_t k,
                                    std::span<uint64_t> space);

// The finite z, best first, one band at a time: [top - 1 width, top], then
// [top - 2 widths, top - 1 width), …; the last band has all that are left.
class FallingBands {
 public:
  FallingBands(const SampleScan& scan, std::span<const float> z, float top, float width,
               std::span<uint64_t> space)
      : scan_(scan), z_(z), top_(top), width_(width), space_(space) {}

  bool done() const { return done_; }
  std::span<const uint64_t> next();
  // All keys that next() has returned, in order.
  std::span<const uint64_t> given() const { return space_.first(n_given_); }

 private:
  static constexpr int kMaxBands = 16;

  const SampleScan& scan_;
  const std::span<const float> z_;
  const float top_;
  const float width_;
  const std::span<uint64_t> space_;
  int n_bands_ = 0;
  size_t n_given_ = 0;
  float high_ = std::numeric_limits<float>::infinity();  // z at or above it have been returned
  bool done_ = false;
};

}  // namespace lockstep
