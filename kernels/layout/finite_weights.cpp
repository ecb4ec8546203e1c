#include "kernels/layout/finite_weights.h"

#include <bit>
#include <cstring>
#include <type_traits>

#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"

namespace lockstep {
namespace {

// NaN and infinity are the values whose exponent bits are all ones. Only then does adding the
// lowest exponent bit to the exponent carry into the place of the sign, so a whole span is checked
// with and, add and or.
struct F32 {
  using Bits = uint32_t;
  static constexpr Bits kExponent = 0x7f800000u, kLowest = 0x00800000u;
  static float widen(Bits bits) { return std::bit_cast<float>(bits); }
};
struct F16 {
  using Bits = uint16_t;
  static constexpr Bits kExponent = 0x7c00u, kLowest = 0x0400u;
  static float widen(Bits bits) { return f16_to_f32(bits); }
};
struct Bf16 {
  using Bits = uint16_t;
  static constexpr Bits kExponent = 0x7f80u, kLowest = 0x0080u;
  static float widen(Bits bits) { return bf16_to_f32(bits); }
};

template <class Float>
typename Float::Bits load(const std::byte* from) {
  typename Float::Bits bits;
  std::memcpy(&bits, from, sizeof bits);
  return bits;
}

template <class Float>
typename Float::Bits carry(typename Float::Bits bits) {
  return static_cast<typename Float::Bits>((bits & Float::kExponent) + Float::kLowest);
}

template <class Float>
bool is_bad(typename Float::Bits carries) {
  return carries >> (8 * sizeof carries - 1) != 0;
}

template <class Float>
std::optional<NonFinite> find_float(std::span<const std::byte> bytes) {
  constexpr size_t kSize = sizeof(typename Float::Bits);
  typename Float::Bits carries = 0;
  for (size_t at = 0; at + kSize <= bytes.size(); at += kSize) {
    carries |= carry<Float>(load<Float>(bytes.data() + at));
  }
  if (!is_bad<Float>(carries)) return std::nullopt;
  for (size_t at = 0;; at += kSize) {
    const auto bits = load<Float>(bytes.data() + at);
    if (!is_bad<Float>(carry<Float>(bits))) continue;
    return NonFinite{static_cast<int64_t>(at), "value", Float::widen(bits)};
  }
}

// The floats of a block lie at source_scale_offset(): the scale (or d), then the minimum (or dmin)
// if the type has one.
template <WeightType kType>
std::optional<NonFinite> find_in_blocks(std::span<const std::byte> bytes) {
  constexpr auto kSize = static_cast<size_t>(source_block_bytes(kType));
  constexpr auto kFirst = static_cast<size_t>(source_scale_offset(kType));
  constexpr bool kHasMin = has_min(kType);
  using Both = std::conditional_t<kHasMin, uint32_t, uint16_t>;  // scale and minimum in one load
  constexpr auto kExponents = static_cast<Both>(0x7c007c00u);
  constexpr auto kLowest = static_cast<Both>(0x04000400u);
  Both carries = 0;
  for (size_t at = 0; at + kSize <= bytes.size(); at += kSize) {
    Both both;
    std::memcpy(&both, bytes.data() + at + kFirst, sizeof both);
    carries |= static_cast<Both>((both & kExponents) + kLowest);
  }
  if ((carries & static_cast<Both>(0x80008000u)) == 0) return std::nullopt;
  for (size_t block = 0;; block += kSize) {
    for (size_t at = 0; at < sizeof(Both); at += sizeof(uint16_t)) {
      const uint16_t bits = load<F16>(bytes.data() + block + kFirst + at);
      if (!is_bad<F16>(carry<F16>(bits))) continue;
      return NonFinite{static_cast<int64_t>(block + kFirst + at), at == 0 ? "scale" : "minimum",
                       f16_to_f32(bits)};
    }
  }
}

}  // namespace

std::optional<NonFinite> find_non_finite(WeightType type, std::span<const std::byte> bytes) {
  switch (type) {
    case WeightType::kF32:
      return find_float<F32>(bytes);
    case WeightType::kF16:
      return find_float<F16>(bytes);
    case WeightType::kBF16:
      return find_float<Bf16>(bytes);
    case WeightType::kQ8_0:
      return find_in_blocks<WeightType::kQ8_0>(bytes);
    case WeightType::kQ4_0:
      return find_in_blocks<WeightType::kQ4_0>(bytes);
    case WeightType::kQ4_1:
      return find_in_blocks<WeightType::kQ4_1>(bytes);
    case WeightType::kQ5_0:
      return find_in_blocks<WeightType::kQ5_0>(bytes);
    case WeightType::kQ5_1:
      return find_in_blocks<WeightType::kQ5_1>(bytes);
    case WeightType::kQ4_K:
      return find_in_blocks<WeightType::kQ4_K>(bytes);
    case WeightType::kQ5_K:
      return find_in_blocks<WeightType::kQ5_K>(bytes);
    case WeightType::kQ6_K:
      return find_in_blocks<WeightType::kQ6_K>(bytes);
  }
  return std::nullopt;
}

}  // namespace lockstep
