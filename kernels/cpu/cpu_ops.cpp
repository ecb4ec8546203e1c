#include "kernels/cpu/cpu_ops.h"

#include "kernels/reference/reference_ops.h"

namespace lockstep {
namespace {

// ops.linear = alone<reference::linear>: a reference op runs on the caller alone.
template <auto op, class Args>
void alone(const Args& args, ThreadTeam&) {
  op(args);
}

CpuOps reference_ops() {
  CpuOps ops;
  return ops;
}

CpuOps portable_ops() {
  CpuOps ops;
  return ops;
}

CpuOps avx2_ops() {
  CpuOps ops = portable_ops();
  return ops;
}

CpuOps avx512_ops() {
  CpuOps ops = avx2_ops();
  return ops;
}

}  // namespace

const CpuOps& cpu_ops(Isa isa) {
  static const CpuOps reference = reference_ops();
  static const CpuOps portable = portable_ops();
  static const CpuOps avx2 = avx2_ops();
  static const CpuOps avx512 = avx512_ops();
  switch (isa) {
    case Isa::kReference:
      return reference;
    case Isa::kPortable:
      return portable;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512Vnni:
      return avx512;
  }
  return reference;
}

}  // namespace lockstep
