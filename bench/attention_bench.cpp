// Attention at the shapes of SmolLM2-135M (9 query heads on 3 KV heads of 64) and of an 8B Llama
// (32 on 8 of 128), with each KV dtype: decode at a context length, and prefill of a chunk. One
// thread, so the figures are per core. `fma_peak` is the rate of multiply-adds of scores and
// weighted values, as a share of the core's fp32 peak measured in the same run. `kv_bytes` is the
// KV cache bytes read a second.
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <cmath>
#include <ctime>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/memory/ledger.h"
#include "kernels/kv_layout.h"
#include "kernels/ops.h"
#include "kernels/reference/kv_slots.h"

namespace lockstep {
namespace {

constexpr int kBlockSize = 16;

// Pages full of random values, and queries for n_rows rows at the end of the context.
struct Problem {
  Problem(DType dtype, int n_heads, int n_kv_heads, int head_dim, int64_t context, int64_t n_rows)
      : q(static_cast<size_t>(n_rows * n_heads * head_dim)),
        out(q.size()),
        positions(static_cast<size_t>(n_rows)),
        seqs(static_cast<size_t>(n_rows), 0),
        table(static_cast<size_t>((context + kBlockSize - 1) / kBlockSize)) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    for (float& v : q) v = normal(random);
    std::iota(positions.begin(), positions.end(), static_cast<int32_t>(context - n_rows));
    std::iota(table.begin(), table.end(), 0);
    KvPages& kv = args.kv;
    kv.dtype = dtype;
    kv.n_blocks = static_cast<int64_t>(table.size());
    kv.block_bytes = kv_block_bytes(kv.dtype, kBlockSize, n_kv_heads, head_dim);
    kv.block_size = kBlockSize;
    kv.n_kv_heads = n_kv_heads;
    kv.head_dim = head_dim;
    pages.resize(static_cast<size_t>(kv.n_blocks * kv.block_bytes));
    kv.data = pages.data();
    std::vector<float> k(static_cast<size_t>(head_dim)), v(k.size());
    for (int64_t slot = 0; slot < context; ++slot) {
      for (int head = 0; head < n_kv_heads; ++head) {
        for (size_t d = 0; d < k.size(); ++d) k[d] = normal(random), v[d] = normal(random);
        reference::store_slot(kv, slot, head, k.data(), v.data());
      }
    }
    args.q = view(q.data(), {n_rows, n_heads, head_dim});
    args.positions = view(positions.data(), {n_rows});
    args.seq_of_token = view(seqs.data(), {n_rows});
    args.block_tables = view(table.data(), {1, static_cast<int64_t>(table.size())});
    args.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    args.out = view(out.data(), {n_rows, int64_t{n_heads} * head_dim});
    for (int32_t position : positions) {
      n_fma += 2.0 * n_heads * head_dim * (position + 1);
    }
  }

  std::vector<float> q, out;
  std::vector<int32_t> positions, seqs, table;
  std::vector<std::byte> pages;
  AttentionArgs args;
  double n_fma = 0;
};

// Multiply-adds per second of this core, from registers alone: ten independent chains.
#define LOCKSTEP_PEAK_LOOP(vector, set1, fma, width)       \
  constexpr int kChains = 10;                              \
  vector sums[kChains];                                    \
  for (auto& sum : sums) sum = set1(1.0f);                 \
  const vector factor = set1(0.999f);                      \
  for (int64_t i = 0; i < n; ++i) {                        \
    for (auto& sum : sums) sum = fma(sum, factor, factor); \
  }                                                        \
  for (auto& sum : sums) benchmark::DoNotOptimize(sum);    \
  return n * kChains * width

__attribute__((target("avx2,fma"))) int64_t fma_loop_avx2(int64_t n) {
  LOCKSTEP_PEAK_LOOP(__m256, _mm256_set1_ps, _mm256_fmadd_ps, 8);
}
__attribute__((target("avx512f"))) int64_t fma_loop_avx512(int64_t n) {
  LOCKSTEP_PEAK_LOOP(__m512, _mm512_set1_ps, _mm512_fmadd_ps, 16);
}

double peak_fma_per_second(Isa isa) {
  constexpr int64_t kIterations = 10'000'000;
  const std::clock_t begin = std::clock();  // processor time, like the rates of the benchmark
  const int64_t n =
      isa == Isa::kAvx512Vnni ? fma_loop_avx512(kIterations) : fma_loop_avx2(kIterations);
  return static_cast<double>(n) * CLOCKS_PER_SEC / static_cast<double>(std::clock() - begin);
}

void run(benchmark::State& state, Isa isa, Problem& problem) {
  MemoryLedger ledger;
  const StreamLimits limits{.max_tokens = problem.args.q.n_rows(),
                            .head_dim = problem.args.kv.head_dim};
  const auto stream = make_cpu_stream({.isa = isa, .limits = limits}, ledger);
  const double peak = peak_fma_per_second(isa);
  for (auto _ : state) attention(problem.args, *stream);
  using benchmark::Counter;
  state.counters["fma_peak"] = Counter(problem.n_fma / peak, Counter::kIsIterationInvariantRate);
  state.counters["kv_bytes"] =
      Counter(static_cast<double>(problem.pages.size()), Counter::kIsIterationInvariantRate);
}

void smol(benchmark::State& state, Isa isa, DType dtype) {
  Problem problem(dtype, 9, 3, 64, state.range(0), state.range(1));
  run(state, isa, problem);
}
void llama_8b(benchmark::State& state, Isa isa, DType dtype) {
  Problem problem(dtype, 32, 8, 128, state.range(0), state.range(1));
  run(state, isa, problem);
}

}  // namespace
}  // namespace lockstep

// Args are (context, rows): decode has one row, prefill the last 512 rows of the context.
int main(int argc, char** argv) {
  using lockstep::DType;
  using lockstep::Isa;
  benchmark::Initialize(&argc, argv);
  for (Isa isa : lockstep::available_isas()) {
    if (isa == Isa::kReference || isa == Isa::kPortable) continue;
    const std::pair<const char*, void (*)(benchmark::State&, Isa, DType)> models[] = {
        {"smol/", lockstep::smol}, {"llama_8b/", lockstep::llama_8b}};
    const std::pair<const char*, DType> dtypes[] = {
        {"/f16", DType::kF16}, {"/k16v8", DType::kK16V8}, {"/k16v16", DType::kK16V16}};
    for (const auto& [model, fn] : models) {
      for (const auto& [dtype_name, dtype] : dtypes) {
        benchmark::RegisterBenchmark((std::string(model) + to_string(isa) + dtype_name).c_str(), fn,
                                     isa, dtype)
            ->Args({128, 1})
            ->Args({1024, 1})
            ->Args({4096, 1})
            ->Args({512, 512})
            ->Args({1024, 512})
            ->Args({4096, 512})
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
  benchmark::RunSpecifiedBenchmarks();
}
