// mma, ldmatrix and cp.async of the emulator, against plain products and plain copies.
#include <cuda_runtime.h>
#include <emulated_async_copy.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/layout/fp16.h"
#include "tests/support/random.h"

namespace lockstep::cuda {
namespace {

using cuda_emulation::KernelFault;
using cuda_emulation::run_grid;
using cuda_emulation::ThreadOrder;
using ::testing::HasSubstr;
using testing::SeededRandom;
using ::testing::ThrowsMessage;

constexpr ThreadOrder kOrders[] = {
    {ThreadOrder::kForward}, {ThreadOrder::kReverse}, {ThreadOrder::kSeeded, 7}};

// A product of matrices of whole numbers, D = A B.
struct Product {
  int n_k;
  std::vector<int> a, b;  // [16][n_k], [n_k][8]

  Product(SeededRandom& random, int k, int limit) : n_k(k) {
    for (int i = 0; i < 16 * k; ++i)
      a.push_back(static_cast<int>(random.integer(-limit, limit - 1)));
    for (int i = 0; i < 8 * k; ++i)
      b.push_back(static_cast<int>(random.integer(-limit, limit - 1)));
  }
  int at(int row, int column) const {
    int sum = 0;
    for (int k = 0; k < n_k; ++k) sum += a[row * n_k + k] * b[k * 8 + column];
    return sum;
  }
};

// Words of `per_word` values each: A[row][k …] or B[k …][column].
template <class Bits>
uint32_t word(int per_word, const Bits& bits) {
  uint32_t result = 0;
  for (int i = 0; i < per_word; ++i) result |= bits(i) << 32 / per_word * i;
  return result;
}

// Calls multiply(product, fragments, d) in every lane of two warps and checks the results.
template <class Value, class Bits, class Multiply>
void check_products(int n_k, int limit, const Bits& bits, const Multiply& multiply) {
  SeededRandom random(3);
  const Product products[2] = {{random, n_k, limit}, {random, n_k, limit}};
  const int per_word = n_k / 8;
  std::vector<Value> d(2 * 2 * 16 * 8);
  run_grid(dim3(1), dim3(64), [&] {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int g = static_cast<int>(threadIdx.x) % 32 / 4, t = static_cast<int>(threadIdx.x) % 4;
    for (int turn = 0; turn < 2; ++turn) {
      const Product& p = products[(warp + turn) % 2];
      FragmentA a;
      FragmentB b;
      for (int w = 0; w < 4; ++w) {
        const int row = g + 8 * (w % 2), k = per_word * t + n_k / 2 * (w / 2);
        a.words[w] = word(per_word, [&](int i) { return bits(p.a[row * n_k + k + i]); });
      }
      for (int w = 0; w < 2; ++w) {
        const int k = per_word * t + n_k / 2 * w;
        b.words[w] = word(per_word, [&](int i) { return bits(p.b[(k + i) * 8 + g]); });
      }
      Value mine[4] = {5, 5, 5, 5};
      multiply(mine, a, b);
      for (int i = 0; i < 4; ++i) {
        d[((warp * 2 + turn) * 16 + g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = mine[i];
      }
    }
  });
  for (int i = 0; i < static_cast<int>(d.size()); ++i) {
    const Product& p = products[(i / 256 + i / 128) % 2];
    ASSERT_EQ(d[i], Value(p.at(i / 8 % 16, i % 8) + 5)) << i;
  }
}

TEST(TensorCores, MmaOfBytesIsTheProductOfTheMatrices) {
  for (const ThreadOrder& order : kOrders) {
    cuda_emulation::set_options({.order = order, .deleted_barrier = {}});
    check_products<int>(
        32, 128, [](int v) { return static_cast<uint32_t>(v) & 0xffu; },
        [](int(&d)[4], const FragmentA& a, const FragmentB& b) { mma_s8(d, a, b, 5); });
  }
  cuda_emulation::set_options({});
}

TEST(TensorCores, MmaOfHalvesIsTheProductOfWholeNumbers) {
  for (const ThreadOrder& order : kOrders) {
    cuda_emulation::set_options({.order = order, .deleted_barrier = {}});
    check_products<float>(
        16, 1000, [](int v) { return uint32_t{f32_to_f16(static_cast<float>(v))}; },
        [](float(&d)[4], const FragmentA& a, const FragmentB& b) { mma_f16(d, a, b); });
  }
  cuda_emulation::set_options({});
}

// What devices would round each in their own way.
TEST(TensorCores, MmaOfHalvesThatIsNotExactIsReported) {
  const auto multiply = [](float left, float right, float sum) {
    return [=] {
      run_grid(dim3(1), dim3(32), [=] {
        const uint32_t l = f32_to_f16(left), r = f32_to_f16(right);
        float d[4] = {sum, sum, sum, sum};
        mma_f16(d, {{l, l, l, l}}, {{r, r}});
      });
    };
  };
  EXPECT_NO_THROW(multiply(1023.0f, 2048.0f, 0.0f)());
  EXPECT_THAT(multiply(1025.0f, 2048.0f, 0.0f), ThrowsMessage<KernelFault>(HasSubstr("f32")));
  EXPECT_THAT(multiply(1.0f, 0.5f, 0.0f), ThrowsMessage<KernelFault>(HasSubstr("whole")));
  EXPECT_THAT(multiply(1.0f, 1.0f, 0.5f), ThrowsMessage<KernelFault>(HasSubstr("whole")));
}

TEST(TensorCores, LoadMatricesDealsOutRowsOrColumns) {
  alignas(16) uint16_t values[32][8];
  for (int i = 0; i < 256; ++i) values[i / 8][i % 8] = static_cast<uint16_t>(i);
  FragmentA rows[32], columns[32];
  run_grid(dim3(1), dim3(32), [&] {
    load_matrices(rows[threadIdx.x], values[threadIdx.x]);
    load_matrices<true>(columns[threadIdx.x], values[threadIdx.x]);
  });
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int m = 0; m < 4; ++m) {
      const auto value = [&](int row, int column) { return uint32_t{values[8 * m + row][column]}; };
      EXPECT_EQ(rows[lane].words[m], value(g, 2 * t) | value(g, 2 * t + 1) << 16);
      EXPECT_EQ(columns[lane].words[m], value(2 * t, g) | value(2 * t + 1, g) << 16);
    }
  }
  const auto unaligned = [&] {
    run_grid(dim3(1), dim3(32), [&] { load_matrices(rows[0], &values[0][1]); });
  };
  EXPECT_THAT(unaligned, ThrowsMessage<KernelFault>(HasSubstr("unaligned")));
}

// Starts copies of two groups and notes what is there after each step.
std::vector<int> watch_copies() {
  alignas(16) const int source[4] = {11, 12, 13, 14};
  alignas(16) int place[4] = {1, 2, 3, 4};
  std::vector<int> seen;
  run_grid(dim3(1), dim3(1), [&] {
    copy_async<4>(&place[0], &source[0]);
    commit_copies();
    copy_async<8>(&place[2], &source[2]);
    seen.push_back(place[0]);
    wait_for_copies<1>();
    seen.push_back(place[0]);  // no second group yet
    commit_copies();
    wait_for_copies<1>();
    seen.insert(seen.end(), {place[0], place[3]});
    wait_for_copies<0>();
    seen.push_back(place[3]);
  });
  return seen;
}

TEST(AsyncCopy, BytesArriveWithTheWaitForTheirGroup) {
  EXPECT_EQ(watch_copies(), (std::vector<int>{1, 1, 11, 4, 14}));
  cuda_emulation::set_early_copies(true);
  EXPECT_EQ(watch_copies(), (std::vector<int>{11, 11, 11, 14, 14}));
  cuda_emulation::set_early_copies(false);
}

TEST(AsyncCopy, UnalignedCopiesAreReportedAndForgotten) {
  alignas(16) char bytes[64] = {};
  const auto copy = [&](int to, int from) {
    return [&bytes, to, from] {
      run_grid(dim3(1), dim3(1), [=, &bytes] {
        copy_async<16>(bytes, bytes + 32);
        copy_async<16>(bytes + to, bytes + from);
      });
    };
  };
  EXPECT_THAT(copy(8, 32), ThrowsMessage<KernelFault>(HasSubstr("unaligned")));
  EXPECT_THAT(copy(16, 40), ThrowsMessage<KernelFault>(HasSubstr("unaligned")));
  bytes[32] = 1;
  run_grid(dim3(1), dim3(1), [] {
    commit_copies();
    wait_for_copies<0>();
  });
  EXPECT_EQ(bytes[0], 0);
}

}  // namespace
}  // namespace lockstep::cuda
