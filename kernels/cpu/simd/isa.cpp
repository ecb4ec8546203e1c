// Detects the instruction sets that this processor and its operating system offer. An extension
// counts only if the system also saves its registers (XCR0), or a context switch would lose them.
#include <cpuid.h>

#include <vector>

#include "kernels/ops.h"

namespace lockstep {
namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero if the processor does not have this CPUID leaf.
Registers cpuid(unsigned leaf) {
  Registers r;
  __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

constexpr bool all(unsigned value, unsigned bits) { return (value & bits) == bits; }

// The register state that the system saves; 0 if it cannot be read.
unsigned saved_state(const Registers& features) {
  if (!all(features.ecx, bit_OSXSAVE)) return 0;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

constexpr unsigned kYmmState = 0x06;  // xmm, ymm
constexpr unsigned kZmmState = 0xe6;  // and mask registers, zmm

std::vector<Isa> detect() {
  std::vector<Isa> isas{Isa::kReference, Isa::kPortable};
  const Registers features = cpuid(1);
  const Registers extended = cpuid(7);
  const unsigned saved = saved_state(features);
  const bool avx2 = all(saved, kYmmState) && all(features.ecx, bit_AVX | bit_FMA | bit_F16C) &&
                    all(extended.ebx, bit_AVX2);
  const bool avx512 = avx2 && all(saved, kZmmState) &&
                      all(extended.ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) &&
                      all(extended.ecx, bit_AVX512VNNI);
  if (avx2) isas.push_back(Isa::kAvx2);
  if (avx512) isas.push_back(Isa::kAvx512Vnni);
  return isas;
}

}  // namespace

std::span<const Isa> available_isas() {
  static const std::vector<Isa> isas = detect();
  return isas;
}

Isa best_isa() { return available_isas().back(); }

const char* to_string(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return "reference";
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512Vnni:
      return "avx512vnni";
  }
  return "unknown";
}

}  // namespace lockstep
