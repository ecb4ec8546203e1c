// Matrices in file order, packed matrices and activations, shared by the tests of the linear ops.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"
#include "kernels/ops.h"
#include "tests/support/random.h"
#include "tests/support/test_stream.h"

namespace lockstep::testing {

inline constexpr WeightType kAllTypes[] = {WeightType::kF32,  WeightType::kF16,  WeightType::kBF16,
                                           WeightType::kQ8_0, WeightType::kQ4_0, WeightType::kQ4_1,
                                           WeightType::kQ5_0, WeightType::kQ5_1, WeightType::kQ4_K,
                                           WeightType::kQ5_K, WeightType::kQ6_K};

// A matrix in the layout of a file. A row of a K-quant may end inside a super-block, as no row of a
// file does: so every k that the other types have is a k of theirs.
struct FileMatrix {
  WeightType type = WeightType::kF32;
  int64_t n_rows = 0;
  int64_t k = 0;
  std::vector<std::byte> bytes;

  int64_t row_bytes() const { return source_row_bytes(type, k); }
  const std::byte* row(int64_t r) const { return bytes.data() + r * row_bytes(); }
};

template <class T>
T read(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

inline void write_f16(std::byte* p, float value) {
  const uint16_t half = f32_to_f16(value);
  std::memcpy(p, &half, sizeof half);
}

// Every bit pattern of quants is equally likely (so -128 and 31 occur). Scales are small, of either
// sign, and sometimes zero or subnormal in f16.
inline FileMatrix random_matrix(SeededRandom& random, WeightType type, int64_t n_rows, int64_t k) {
  FileMatrix matrix{type, n_rows, k, {}};
  matrix.bytes.resize(static_cast<size_t>(n_rows * matrix.row_bytes()));
  const auto scale = [&] {
    if (random.chance(0.02)) return random.chance(0.5) ? 0.0f : 3.1e-7f;
    return random.normal(0.02f);
  };
  std::byte* p = matrix.bytes.data();
  if (type == WeightType::kF32) {
    for (int64_t i = 0; i < n_rows * k; ++i, p += 4) {
      const float value = random.normal(0.1f);
      std::memcpy(p, &value, 4);
    }
  } else if (!is_quantized(type)) {
    for (int64_t i = 0; i < n_rows * k; ++i, p += 2) {
      const float value = random.normal(0.1f);
      const uint16_t half = type == WeightType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
      std::memcpy(p, &half, 2);
    }
  } else {
    const int64_t block_bytes = source_block_bytes(type);
    for (const std::byte* end = p + matrix.bytes.size(); p < end; p += block_bytes) {
      for (int64_t j = 0; j < block_bytes; ++j) p[j] = std::byte(random.integer(0, 255));
      std::byte* scales = p + source_scale_offset(type);
      write_f16(scales, scale());
      if (has_min(type)) write_f16(scales + 2, scale());
    }
  }
  return matrix;
}

// A weight of a K-quant as its format defines it: d * scale * q + min, min = -dmin * m, all exact
// in double.
struct KQuantValue {
  double d, min;
  int scale, q;
};
inline KQuantValue k_quant_value(const FileMatrix& matrix, int64_t row, int64_t k) {
  const WeightType type = matrix.type;
  const std::byte* super = matrix.row(row) + k / 256 * source_block_bytes(type);
  const int i = static_cast<int>(k % 256);
  const auto byte = [&](int at) { return std::to_integer<int>(super[at]); };
  const auto f16 = [&](int at) { return double{f16_to_f32(read<uint16_t>(super + at))}; };
  if (type == WeightType::kQ6_K) {  // low [128], high [64], scales [16], d
    const int half = i / 128, in_half = i % 128;
    const int low = byte(64 * half + in_half % 64) >> (in_half < 64 ? 0 : 4) & 15;
    const int high = byte(128 + 32 * half + in_half % 32) >> in_half / 32 * 2 & 3;
    return {f16(208), 0.0, read<int8_t>(super + 192 + i / 16), (low | high << 4) - 32};
  }
  const int block = i / 32;  // d, dmin, scales [12], high [32] of Q5_K, quants [128]
  const int quants = type == WeightType::kQ5_K ? 48 : 16;
  int q = byte(quants + i / 64 * 32 + i % 32) >> (block % 2 == 0 ? 0 : 4) & 15;
  if (type == WeightType::kQ5_K && (byte(16 + i % 32) >> block & 1) != 0) q += 16;
  const auto six_bits = [&](int first) {
    if (block < 4) return byte(first + block) & 63;
    return (byte(12 + block - 4) >> (first == 4 ? 0 : 4) & 15) | byte(first + block - 4) >> 6 << 4;
  };
  return {f16(0), -f16(2) * six_bits(8), six_bits(4), q};
}

// The value of one weight by the definition of its format, in double. Shares no code with kernels/
// except the f16 conversion.
inline double file_value(const FileMatrix& matrix, int64_t row, int64_t k) {
  const std::byte* p = matrix.row(row);
  switch (matrix.type) {
    case WeightType::kF32:
      return read<float>(p + 4 * k);
    case WeightType::kF16:
      return f16_to_f32(read<uint16_t>(p + 2 * k));
    case WeightType::kBF16:
      return bf16_to_f32(read<uint16_t>(p + 2 * k));
    default:
      break;
  }
  if (is_k_quant(matrix.type)) {
    const KQuantValue w = k_quant_value(matrix, row, k);
    return w.d * w.scale * w.q + w.min;
  }
  const int i = static_cast<int>(k % 32);
  p += k / 32 * source_block_bytes(matrix.type);
  const double scale = f16_to_f32(read<uint16_t>(p));
  const auto nibble = [&](const std::byte* quants) {
    const int byte = std::to_integer<int>(quants[i % 16]);
    return i < 16 ? byte & 15 : byte >> 4;
  };
  const auto fifth = [&](const std::byte* high) {
    return (read<uint32_t>(high) >> i & 1u) != 0 ? 16 : 0;
  };
  switch (matrix.type) {
    case WeightType::kQ8_0:
      return scale * read<int8_t>(p + 2 + i);
    case WeightType::kQ4_0:
      return scale * (nibble(p + 2) - 8);
    case WeightType::kQ4_1:
      return scale * nibble(p + 4) + f16_to_f32(read<uint16_t>(p + 2));
    case WeightType::kQ5_0:
      return scale * (nibble(p + 6) + fifth(p + 2) - 16);
    default:
      return scale * (nibble(p + 8) + fifth(p + 4)) + f16_to_f32(read<uint16_t>(p + 2));
  }
}

struct PackedMatrix {
  std::vector<std::byte> data;
  PackedWeights weights;
};

// The columns of the leaves in `range`, packed.
inline PackedMatrix pack(const FileMatrix& matrix, const LeafRange& range,
                         PackedLayout layout = PackedLayout::kRows) {
  const int64_t leaf_k = matrix.k / range.n_total;
  PackedMatrix packed;
  packed.weights = {matrix.type, matrix.n_rows, leaf_k * range.n, range, nullptr, layout};
  packed.data.assign(static_cast<size_t>(packed_bytes(packed.weights)), std::byte{0xee});
  packed.weights.data = packed.data.data();
  const std::byte* source = matrix.bytes.data() + source_span(packed.weights).first_byte;
  pack_rows(packed.weights, packed.data.data(), 0, matrix.n_rows, source, matrix.row_bytes());
  return packed;
}

// Activations of n_tokens rows, as f32 and quantised by the reference.
struct TestActs {
  int64_t n_tokens, k;
  std::vector<float> x;
  std::vector<uint8_t> q;
  std::vector<float> scale, sum;
  std::vector<int32_t> q_sum;

  TestActs(std::vector<float> values, int64_t tokens, int64_t len)
      : n_tokens(tokens), k(len), x(std::move(values)) {
    if (k % kBlockLen != 0) return;
    q.resize(x.size());
    scale.resize(x.size() / kBlockLen);
    sum.resize(scale.size());
    q_sum.resize(scale.size());
    auto stream = make_stream(Isa::kReference, 1);
    quantize({.x = view(x.data(), {n_tokens, k}), .out = quantized(0, k)}, *stream);
  }

  // Columns [first, first + n), as a rank that owns them gets them.
  QuantizedActs quantized(int64_t first, int64_t n) {
    const auto part = [&](auto* data, int64_t per) {
      View v = view(data + first / per, {n_tokens, n / per});
      v.row_stride = k / per;
      return v;
    };
    return {part(q.data(), 1), part(scale.data(), kBlockLen), part(sum.data(), kBlockLen),
            part(q_sum.data(), kBlockLen)};
  }
  Acts of(WeightType type, int64_t first, int64_t n) {
    if (is_quantized(type)) return {{}, quantized(first, n)};
    View v = view(x.data() + first, {n_tokens, n});
    v.row_stride = k;
    return {v, {}};
  }
};

// Result of linear(): [n_subtrees, n_tokens, n_rows] for the columns that the weights hold.
inline std::vector<float> run_linear(const PackedMatrix& packed, TestActs& acts, Stream& stream,
                                     const float* bias = nullptr) {
  const PackedWeights& weights = packed.weights;
  const int64_t n_subtrees = static_cast<int64_t>(owned_subtrees(weights.leaves).size());
  std::vector<float> out(static_cast<size_t>(n_subtrees * acts.n_tokens * weights.n_rows), -7.0f);
  LinearArgs args{.x = acts.of(weights.type, weights.leaf_k() * weights.leaves.first, weights.k),
                  .weights = weights,
                  .out = view(out.data(), {n_subtrees, acts.n_tokens, weights.n_rows})};
  if (bias != nullptr) args.bias = view(bias, {weights.n_rows});
  linear(args, stream);
  return out;
}

// add_rms_norm with weights of one: the norm, [n_tokens, dim]. The residual is changed in place.
inline std::vector<float> add_and_norm(const AddPartialsArgs& add, Stream& stream) {
  const int64_t n_tokens = add.residual.n_rows(), dim = add.residual.row_size();
  const std::vector<float> ones(static_cast<size_t>(dim), 1.0f);
  std::vector<float> normed(static_cast<size_t>(n_tokens * dim), -7.0f);
  add_rms_norm({.add = add,
                .weight = view(ones.data(), {dim}),
                .out = {.f32 = view(normed.data(), {n_tokens, dim})}},
               stream);
  return normed;
}

}  // namespace lockstep::testing
