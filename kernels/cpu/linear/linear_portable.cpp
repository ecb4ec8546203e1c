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
        if constexpr (n_high_bits(kType) != 0) {
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

// K-quants.
template <WeightType kType>
struct KGroup {
  static constexpr BlockLayout kLayout = block_layout(kType);
  static constexpr int64_t kHeaderBytes = header_bytes(kType);

  struct Sum {
    float of[kPanelRows];
  };

  const PanelJob& job;
  int64_t token;

  static int quant(const std::byte* weights, int g, int row, int j) {
    constexpr int kBits = n_high_bits(kType);
    int w = stored<kType>(weights + kLayout.quants, g, row, j);
    if constexpr (kBits != 0) {
      constexpr int kValues = 8 / kBits;  // whose bits share a byte
      const std::byte high = weights[kLayout.high + 4 * kPanelRows * (g / kValues) + 4 * row + j];
      w |= (std::to_integer<int>(high) >> kBits * (g % kValues) & ((1 << kBits) - 1)) << 4;
    }
    return w - quant_offset(kType);
  }

  // The integer sum over values 16 * half … 16 * half + 15 of the block.
  static int dot(const std::byte* weights, int half, int row, const int8_t* q) {
    int isum = 0;
    for (int g = 4 * half; g < 4 * half + 4; ++g) {
      for (int j = 0; j < 4; ++j) isum += quant(weights, g, row, j) * q[4 * g + j];
    }
    return isum;
  }

  static void begin_leaf(const std::byte* /*headers*/) {}

  const std::byte* add_block(const std::byte* weights, const std::byte* header, int64_t block,
                             Sum& sum) const {
    const int8_t* q = job.q + token * job.q_stride + block * kBlockLen;
    const float x_scale = job.scale[token * job.scale_stride + block];
    const float x_sum = job.sum[token * job.sum_stride + block];
    for (int row = 0; row < kPanelRows; ++row) {
      const int first = dot(weights, 0, row, q), second = dot(weights, 1, row, q);
      const int scales[] = {std::to_integer<int>(weights[row]),
                            std::to_integer<int>(weights[kLayout.min + row])};
      const int isum = has_min(kType) ? scales[0] * (first + second)
                                      : static_cast<int8_t>(scales[0]) * first +
                                            static_cast<int8_t>(scales[1]) * second;
      sum.of[row] = std::fma(row_f16(header, row) * x_scale, static_cast<float>(isum), sum.of[row]);
      if constexpr (has_min(kType)) {
        const float min = row_f16(header + 2 * kPanelRows, row) * static_cast<float>(scales[1]);
        sum.of[row] = std::fma(min, x_sum, sum.of[row]);
      }
    }
    return weights + kLayout.bytes;
  }

  static void join(const Sum& left, Sum& sum) {
    for (int row = 0; row < kPanelRows; ++row) sum.of[row] = left.of[row] + sum.of[row];
  }
};

template <class Group>
void sum_panel(const PanelJob& job) {
  for (int64_t token = 0; token < job.n_tokens; ++token) {
    const auto sum = sum_segments(job, Group{job, token});
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
      return sum_panel<Group<WeightType::kQ8_0>>;
    case WeightType::kQ4_0:
      return sum_panel<Group<WeightType::kQ4_0>>;
    case WeightType::kQ4_1:
      return sum_panel<Group<WeightType::kQ4_1>>;
    case WeightType::kQ5_0:
      return sum_panel<Group<WeightType::kQ5_0>>;
    case WeightType::kQ5_1:
      return sum_panel<Group<WeightType::kQ5_1>>;
    case WeightType::kQ4_K:
      return sum_panel<KGroup<WeightType::kQ4_K>>;
    case WeightType::kQ5_K:
      return sum_panel<KGroup<WeightType::kQ5_K>>;
    case WeightType::kQ6_K:
      return sum_panel<KGroup<WeightType::kQ6_K>>;
    default:
      return float_panel_kernel<simd::Portable, 1>(type);
  }
}

}  // namespace lockstep
