// SampleScan: the passes of the sampler over a row of logits, by instruction set. Plain pointers.
// sample.cpp uses the passes; docs/numerics.md section 5 defines what they compute.
#pragma once

#include <cstdint>

namespace lockstep {

// The weight of a logit: p = exp(x), x = (z - top) / temperature; +0 where x < least_x.
struct SampleWeights {
  float top = 0.0f;
  float temperature = 1.0f;
  float least_x = 0.0f;
};

struct SampleScan {
  // The largest of z; NaN if any of z is NaN or Inf.
  float (*finite_max)(const float* z, int64_t n);
  // The largest of z, none of which is NaN.
  float (*max)(const float* z, int64_t n);
  // The first index at which z equals `value`; n if none does.
  int64_t (*find)(const float* z, int64_t n, float value);
  // The strided sum of exp(z - max).
  float (*sum_exp)(const float* z, int64_t n, float max);
  // The strided sum of p.
  float (*sum_weights)(const float* z, int64_t n, const SampleWeights& weights);
  // Writes p of every value.
  void (*weigh)(const float* z, int64_t n, const SampleWeights& weights, float* p);
  // Appends sort_key(z[i], first_id + i) for every z[i] in [low, high); returns their number.
  int64_t (*gather)(const float* z, int64_t n, float low, float high, int32_t first_id,
                    uint64_t* keys);
};

// The id of a sort key. Ascending keys are descending logits, ties to the lowest id.
constexpr int32_t id_of_key(uint64_t key) { return static_cast<int32_t>(key & 0xffffffffu); }

extern const SampleScan kSampleScanPortable;
extern const SampleScan kSampleScanAvx2;
extern const SampleScan kSampleScanAvx512;

}  // namespace lockstep
