// Linear without SIMD instructions: plain loops over the 16 rows of a panel.
#include <cmath>
#include <cstring>

#include "kernels/cpu/linear/linear_float_panel.h"
#include "kernels/cpu/linear/linear_panel.h"
#include "kernels/cpu/simd/simd_portable.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/packed_layout.h"

namespace lockstep {
namespace {

float row_f16(const std::byte* values, int row) {
  uint16_t half;
  std::memcpy(&half, values + 2 * row, sizeof half);
  return f16_to_f32(half);
}

// The four stored weights k = 4g … 4g + 3 of a row, without the fifth bit.
template <WeightType kType>
int stored(const std::byte* quants, int g, int row, int j) {
  if constexpr (kType == WeightType::kQ8_0) {
    return static_cast<int8_t>(quants[4 * kPanelRows * g + 4 * row + j]);
  } else {
    const int both = std::to_integer<int>(quants[4 * kPanelRows * (g % 4) + 4 * row + j]);
    return g < 4 ? both & 15 : both >> 4;
  }
}

template <WeightType kType>
struct Group {
  static constexpr BlockLayout kLayout = block_layout(kType);

  struct Sum {
    float of[kPanelRows];
  };

  const PanelJob& job;
  int64_t token;

  static int dot(const std::byte* weights, int row, const int8_t* q) {
    const std::byte* quants = weights + kLayout.quants;
    int isum = 0;
    for (int g = 0; g < 8; ++g) {
      for (int j = 0; j < 4; ++j) {
        int w = stored<kType>(quants, g, row, j);
        if constexpr (has_high_bits(kType)) {
          w |= (std::to_integer<int>(weights[kLayout.high + 4 * row + j]) >> g & 1) << 4;
        }
        isum += w * q[4 * g + j];
      }
    }
    return isum;
  }

  const std::byte* add_block(const std::byte* weights, int64_t block, int, Sum& sum) const {
    const int8_t* q = job.q + token * job.q_stride + block * kBlockLen;
    const float x_scale = job.scale[token * job.scale_stride + block];
    const float x_sum = job.sum[token * job.sum_stride + block];
    const int offset = quant_offset(kType) * job.q_sum[token * job.q_sum_stride + block];
    for (int row = 0; row < kPanelRows; ++row) {
      const float isum = static_cast<float>(dot(weights, row, q) - offset);
      sum.of[row] = std::fma(row_f16(weights, row) * x_scale, isum, sum.of[row]);
      if constexpr (has_min(kType)) {
        sum.of[row] = std::fma(row_f16(weights + kLayout.min, row), x_sum, sum.of[row]);
      }
    }
    return weights + kLayout.bytes;
  }

  static void join(const Sum& left, Sum& sum) {
    for (int row = 0; row < kPanelRows; ++row) sum.of[row] = left.of[row] + sum.of[row];
  }
};

template <WeightType kType>
void sum_panel(const PanelJob& job) {
  for (int64_t token = 0; token < job.n_tokens; ++token) {
    const auto sum = sum_segments(job, Group<kType>{job, token});
    float* out = job.out + token * job.out_stride;
    for (int row = 0; row < job.n_rows; ++row) {
      out[row] = job.bias != nullptr ? sum.of[row] + job.bias[row] : sum.of[row];
    }
  }
}

}  // namespace

PanelKernel panel_kernel_portable(WeightType type) {
  switch (type) {
    case WeightType::kQ8_0:
      return sum_panel<WeightType::kQ8_0>;
    case WeightType::kQ4_0:
      return sum_panel<WeightType::kQ4_0>;
    case WeightType::kQ4_1:
      return sum_panel<WeightType::kQ4_1>;
    case WeightType::kQ5_0:
      return sum_panel<WeightType::kQ5_0>;
    case WeightType::kQ5_1:
      return sum_panel<WeightType::kQ5_1>;
    default:
      return float_panel_kernel<simd::Portable, 1>(type);
  }
}

}  // namespace lockstep
