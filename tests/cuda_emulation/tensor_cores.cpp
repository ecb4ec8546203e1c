#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/layout/fp16.h"
#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/include/emulated_tensor_cores.h"

namespace lockstep::cuda_emulation {
namespace {

constexpr unsigned kAllLanes = ~0u;

struct Operands {
  uint32_t a[4], b[2];
};

size_t thread_of_block() {
  return threadIdx.x + blockDim.x * (threadIdx.y + size_t{blockDim.y} * threadIdx.z);
}
int lane() { return static_cast<int>(thread_of_block() % 32); }

// The operands of all lanes of the warp. A lane has two places and uses them in turn: it may bring
// its next operands before a slow lane has read the last.
struct WarpOperands {
  const Operands* of_lane[32];

  WarpOperands(const uint32_t (&a)[4], const uint32_t (&b)[2], const char* what) {
    struct Places {
      Operands operands[2];
      unsigned turn = 0;
    };
    thread_local std::vector<Places> places(1024);
    Places& mine = places[thread_of_block()];
    Operands& place = mine.operands[mine.turn++ % 2];
    std::memcpy(place.a, a, sizeof a);
    std::memcpy(place.b, b, sizeof b);
    uint64_t addresses[32];
    exchange(kAllLanes, reinterpret_cast<uint64_t>(&place), addresses, what);
    for (int i = 0; i < 32; ++i) of_lane[i] = reinterpret_cast<const Operands*>(addresses[i]);
  }
};

// Calls fn(i, row, column) for the four results of this lane.
template <class Fn>
void for_each_result(const Fn& fn) {
  for (int i = 0; i < 4; ++i) fn(i, lane() / 4 + 8 * (i / 2), 2 * (lane() % 4) + i % 2);
}

int8_t byte_of(uint32_t word, int i) { return static_cast<int8_t>(word >> 8 * i); }
float half_of(uint32_t word, int i) { return f16_to_f32(static_cast<uint16_t>(word >> 16 * i)); }

float whole(float value) {
  if (value != std::rint(value)) trap("mma_f16 of a number that is not whole");
  return value;
}

}  // namespace

// A: word 0 of lane 4g + t holds row g, k = 4t … 4t + 3; word 1 row g + 8; words 2 and 3 the same
// rows, k + 16. B: word 0 holds column g, k = 4t … 4t + 3; word 1 k + 16.
void mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const int (&c)[4]) {
  const WarpOperands all(a, b, "mma_s8");
  for_each_result([&](int i, int row, int column) {
    int sum = c[i];
    for (int k = 0; k < 32; ++k) {
      const int quad = k % 16 / 4;
      const uint32_t left = all.of_lane[row % 8 * 4 + quad]->a[row / 8 + k / 16 * 2];
      const uint32_t right = all.of_lane[column * 4 + quad]->b[k / 16];
      sum += byte_of(left, k % 4) * byte_of(right, k % 4);
    }
    d[i] = sum;
  });
}

// The words hold what the first ones of mma_s8 hold.
void mma_s8_k16(int (&d)[4], const uint32_t (&a)[2], uint32_t b, const int (&c)[4]) {
  mma_s8(d, {a[0], a[1], 0, 0}, {b, 0}, c);
}

// A: word 0 of lane 4g + t holds row g, k = 2t and 2t + 1; word 1 row g + 8; words 2 and 3 the same
// rows, k + 8. B: word 0 holds column g, k = 2t and 2t + 1; word 1 k + 8.
void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const WarpOperands all(a, b, "mma_f16");
  for_each_result([&](int i, int row, int column) {
    double sum = whole(d[i]), magnitudes = std::fabs(d[i]);
    for (int k = 0; k < 16; ++k) {
      const int pair = k % 8 / 2;
      const float left = half_of(all.of_lane[row % 8 * 4 + pair]->a[row / 8 + k / 8 * 2], k % 2);
      const float right = half_of(all.of_lane[column * 4 + pair]->b[k / 8], k % 2);
      const double product = double{whole(left)} * whole(right);
      sum += product;
      magnitudes += std::fabs(product);
    }
    if (!(magnitudes < 0x1p24)) trap("mma_f16 of sums that f32 does not hold");
    d[i] = static_cast<float>(sum);
  });
}

void ldmatrix_x4(uint32_t (&d)[4], const void* row, bool transpose) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) trap("ldmatrix of an unaligned row");
  uint64_t rows[32];
  exchange(kAllLanes, reinterpret_cast<uint64_t>(row), rows, "ldmatrix_x4");
  const auto value = [&](int matrix, int r, int column) {
    uint16_t v = 0;
    std::memcpy(&v, reinterpret_cast<const char*>(rows[8 * matrix + r]) + 2 * column, sizeof v);
    return v;
  };
  const int r = lane() / 4, c = lane() % 4 * 2;
  for (int m = 0; m < 4; ++m) {
    const uint16_t low = transpose ? value(m, c, r) : value(m, r, c);
    const uint16_t high = transpose ? value(m, c + 1, r) : value(m, r, c + 1);
    d[m] = low | static_cast<uint32_t>(high) << 16;
  }
  // The rows may be overwritten once all lanes have read them.
  exchange(kAllLanes, 0, rows, "ldmatrix_x4");
}

}  // namespace lockstep::cuda_emulation
