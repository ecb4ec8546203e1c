#include "bench/gpu/side.h"

#include "kernels/kv_layout.h"

namespace lockstep::gpu_check {
namespace {

bool same_float(const std::byte* a, const std::byte* b) {
  float x = 0.0f, y = 0.0f;
  std::memcpy(&x, a, sizeof x);
  std::memcpy(&y, b, sizeof y);
  return std::memcmp(a, b, sizeof x) == 0 || (x != x && y != y);
}

void compare(const Output& expected, const Output& got, Difference& difference) {
  CHECK_EQ(expected.name, got.name);
  CHECK_EQ(expected.bytes.size(), got.bytes.size());
  const size_t step = expected.is_f32 ? sizeof(float) : 1;
  for (size_t i = 0; i < expected.bytes.size(); i += step) {
    ++difference.n_values;
    const std::byte* a = &expected.bytes[i];
    const std::byte* b = &got.bytes[i];
    if (expected.is_f32 ? same_float(a, b) : *a == *b) continue;
    if (difference.n_different++ == 0) {
      difference.first = expected.name + " at " + std::to_string(i / step);
    }
  }
}

}  // namespace

std::vector<Output> Side::outputs() {
  stream().wait();
  std::vector<Output> outputs;
  for (const Wanted& w : wanted_) {
    Output output{w.name, w.is_f32, std::vector<std::byte>(static_cast<size_t>(w.n_bytes))};
    fetch(output.bytes.data(), w.placed, w.n_bytes);
    outputs.push_back(std::move(output));
  }
  return outputs;
}

// The scratch is for the largest of the cases.
CpuSide::CpuSide(Isa isa, int n_threads)
    : stream_(make_cpu_stream({.isa = isa,
                               .n_threads = n_threads,
                               .n_threads_in_process = n_threads,
                               .limits = {.max_tokens = 4096,
                                          .max_dim = 1 << 18,
                                          .head_dim = kMaxHeadDim,
                                          .max_samples = 64,
                                          .vocab_size = 1 << 18}},
                              ledger_)) {}

void* DeviceSide::place(void* data, int64_t n_bytes) {
  buffers_.emplace_back(device_, ledger_, MemoryTag::kOther, n_bytes);
  if (n_bytes > 0) device_.upload(buffers_.back().data(), data, n_bytes);
  return buffers_.back().data();
}

Difference compare(const std::vector<Output>& expected, const std::vector<Output>& got) {
  CHECK_EQ(expected.size(), got.size());
  Difference difference;
  for (size_t i = 0; i < expected.size(); ++i) compare(expected[i], got[i], difference);
  return difference;
}

}  // namespace lockstep::gpu_check
