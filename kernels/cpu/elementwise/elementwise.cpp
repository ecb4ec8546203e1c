// rms_norm, head_norm, add_rms_norm, silu_mul and finite_rows, cut over rows. If only the int8
// output is wanted, a row is computed in scratch and quantised while it is still in the L1 cache.
#include "kernels/cpu/elementwise/elementwise.h"

#include "kernels/cpu/elementwise/elementwise_impl.h"
#include "kernels/cpu/elementwise/quantize.h"
#include "kernels/cpu/linear/partials_tree.h"
#include "kernels/cpu/simd/fast_ops.h"
#include "kernels/cpu/simd/simd_portable.h"

namespace lockstep {
namespace {

constexpr int64_t kMinValues = 8192;  // per run of rows; fewer are not worth waking a thread

constexpr int64_t row_bytes(int64_t dim) { return dim * static_cast<int64_t>(sizeof(float)); }

// Calls make(row, y) for every row, and writes y to the f32 output, the int8 output, or both.
template <class MakeRow>
void for_rows(int64_t n_rows, int64_t dim, const Acts& out, QuantizeRow quantize_row,
              ThreadTeam& team, const MakeRow& make) {
  team.run_ranges(n_rows, kMinValues / dim + 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t row = begin; row < end; ++row) {
      float* y = out.f32 ? out.f32.row<float>(row)
                         : reinterpret_cast<float*>(team.scratch(thread, row_bytes(dim)));
      make(row, y);
      if (out.quantized.q) quantize_row(y, dim, row_of(out.quantized, row));
    }
  });
}

void run(const RmsNormArgs& args, NormRow norm_row, QuantizeRow quantize_row, ThreadTeam& team) {
  const int64_t dim = args.x.row_size();
  const float* weight = args.weight.row<float>(0);
  for_rows(args.x.n_rows(), dim, args.out, quantize_row, team, [&](int64_t row, float* y) {
    norm_row(args.x.row<float>(row), weight, dim, args.eps, y);
  });
}

void run(const AddRmsNormArgs& args, NormRow norm_row, QuantizeRow quantize_row, ThreadTeam& team) {
  const View& residual = args.add.residual;
  const int64_t dim = residual.row_size();
  const float* weight = args.weight.row<float>(0);
  const PartialsTree tree(args.add);
  for_rows(residual.n_rows(), dim, args.out, quantize_row, team, [&](int64_t row, float* y) {
    tree.add_to_residual(row);
    norm_row(residual.row<float>(row), weight, dim, args.eps, y);
  });
}

void run(const HeadNormArgs& args, NormRow norm_row, ThreadTeam& team) {
  const int64_t n_heads = args.x.shape[1], head_dim = args.x.shape[2];
  const float* weight = args.weight.row<float>(0);
  team.run_ranges(args.x.n_rows(), kMinValues / (n_heads * head_dim + 1) + 1,
                  [&](int64_t begin, int64_t end, int) {
                    for (int64_t token = begin; token < end; ++token) {
                      float* x = args.x.row<float>(token);
                      for (int64_t h = 0; h < n_heads; ++h, x += head_dim) {
                        norm_row(x, weight, head_dim, args.eps, x);
                      }
                    }
                  });
}

void run(const SiluMulArgs& args, SiluRow silu_row, QuantizeRow quantize_row, ThreadTeam& team) {
  const int64_t dim = args.gate.row_size();
  for_rows(args.gate.n_rows(), dim, args.out, quantize_row, team, [&](int64_t row, float* y) {
    silu_row(args.gate.row<float>(row), args.up.row<float>(row), dim, y);
  });
}

void run(const FiniteRowsArgs& args, FiniteRow finite_row, ThreadTeam& team) {
  const int64_t dim = args.x.row_size();
  uint8_t* const finite = args.finite.row<uint8_t>(0);
  team.run_ranges(args.x.n_rows(), kMinValues / dim + 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      if (!finite_row(args.x.row<float>(row), dim, args.limit)) finite[row] = 0;
    }
  });
}

}  // namespace

ScratchBytes elementwise_scratch_bytes(const StreamLimits& limits) {
  return {.shared = 0, .per_thread = row_bytes(limits.max_dim)};
}

void norm_row_portable(const float* x, const float* weight, int64_t n, float eps, float* y) {
  simd::norm_row<simd::Portable>(x, weight, n, eps, y);
}
void silu_row_portable(const float* gate, const float* up, int64_t n, float* y) {
  simd::silu_row<simd::Portable>(gate, up, n, y);
}
bool finite_row_portable(const float* x, int64_t n, float limit) {
  return simd::finite_row<simd::Portable>(x, n, limit);
}

void finite_rows_portable(const FiniteRowsArgs& args, ThreadTeam& team) {
  run(args, finite_row_portable, team);
}
void finite_rows_avx2(const FiniteRowsArgs& args, ThreadTeam& team) {
  run(args, finite_row_avx2, team);
}
void finite_rows_avx512(const FiniteRowsArgs& args, ThreadTeam& team) {
  run(args, finite_row_avx512, team);
}

void rms_norm_portable(const RmsNormArgs& args, ThreadTeam& team) {
  run(args, norm_row_portable, quantize_row_portable, team);
}
void rms_norm_avx2(const RmsNormArgs& args, ThreadTeam& team) {
  run(args, norm_row_avx2, quantize_row_avx2, team);
}
void rms_norm_avx512(const RmsNormArgs& args, ThreadTeam& team) {
  run(args, norm_row_avx512, quantize_row_avx512, team);
}

void head_norm_portable(const HeadNormArgs& args, ThreadTeam& team) {
  run(args, norm_row_portable, team);
}
void head_norm_avx2(const HeadNormArgs& args, ThreadTeam& team) { run(args, norm_row_avx2, team); }
void head_norm_avx512(const HeadNormArgs& args, ThreadTeam& team) {
  run(args, norm_row_avx512, team);
}

void add_rms_norm_portable(const AddRmsNormArgs& args, ThreadTeam& team) {
  run(args, norm_row_portable, quantize_row_portable, team);
}
void silu_mul_portable(const SiluMulArgs& args, ThreadTeam& team) {
  run(args, silu_row_portable, quantize_row_portable, team);
}
void add_rms_norm_avx2(const AddRmsNormArgs& args, ThreadTeam& team) {
  run(args, norm_row_avx2, quantize_row_avx2, team);
}
void silu_mul_avx2(const SiluMulArgs& args, ThreadTeam& team) {
  run(args, silu_row_avx2, quantize_row_avx2, team);
}
void add_rms_norm_avx512(const AddRmsNormArgs& args, ThreadTeam& team) {
  run(args, norm_row_avx512, quantize_row_avx512, team);
}
void silu_mul_avx512(const SiluMulArgs& args, ThreadTeam& team) {
  run(args, silu_row_avx512, quantize_row_avx512, team);
}

}  // namespace lockstep
