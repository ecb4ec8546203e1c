#include "coordinator/http/id_generator.h"

#include <cstdio>
#include <random>

namespace lockstep {
namespace {

// SplitMix64's finaliser. It is a bijection, so different inputs give different outputs.
// https://prng.di.unimi.it/splitmix64.c
uint64_t scramble(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t random_base() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

IdGenerator::IdGenerator() : base_(random_base()) {}

std::string IdGenerator::make(const char* prefix) {
  const uint64_t n = n_made_.fetch_add(1, std::memory_order_relaxed);
  char digits[33];
  std::snprintf(digits, sizeof digits, "%016llx%016llx",
                static_cast<unsigned long long>(scramble(base_ ^ 0x5bd1e995)),
                static_cast<unsigned long long>(scramble(base_ + n)));
  return std::string(prefix) + digits;
}

}  // namespace lockstep
