#include "coordinator/http/id_generator.h"

#include <cstdio>
#include <random>

#include "common/hash64.h"

namespace lockstep {
namespace {

uint64_t random_base() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

IdGenerator::IdGenerator() : base_(random_base()) {}

std::string IdGenerator::make(const char* prefix) {
  const uint64_t n = n_made_.fetch_add(1, std::memory_order_relaxed);
  char digits[33];  // mix64 is a bijection: different n give different ids
  std::snprintf(digits, sizeof digits, "%016llx%016llx",
                static_cast<unsigned long long>(mix64(~base_)),
                static_cast<unsigned long long>(mix64(base_ + n)));
  return std::string(prefix) + digits;
}

}  // namespace lockstep
