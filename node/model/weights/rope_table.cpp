// Source of the frequencies: Su et al., RoFormer (2021). The divisors are GGUF's rope_freqs.weight
// (Llama 3.1's long-context scaling).
#include "node/model/weights/rope_table.h"

#include <cmath>
#include <vector>

#include "common/check.h"

namespace lockstep {

int64_t RopeTable::bytes(const ModelConfig& model, int64_t n_positions) {
  return n_positions * (model.n_rot / 2) * 2 * static_cast<int64_t>(sizeof(float));
}

RopeTable::RopeTable(const ModelConfig& model, int64_t n_positions, MemoryLedger& ledger)
    : n_positions_(n_positions),
      n_pairs_(model.n_rot / 2),
      values_(ledger, MemoryTag::kOther, bytes(model, n_positions)) {
  const auto n_pairs = static_cast<size_t>(n_pairs_);
  CHECK(model.rope_freq_divisors.empty() || model.rope_freq_divisors.size() == n_pairs);
  std::vector<double> inv_freq(n_pairs);
  for (size_t i = 0; i < n_pairs; ++i) {
    inv_freq[i] = std::pow(model.rope_theta, -2.0 * static_cast<double>(i) / model.n_rot);
    if (!model.rope_freq_divisors.empty()) {
      inv_freq[i] /= static_cast<double>(model.rope_freq_divisors[i]);
    }
  }
  float* value = values_.as<float>();
  for (int64_t position = 0; position < n_positions; ++position) {
    for (size_t i = 0; i < n_pairs; ++i) {
      const double angle = static_cast<double>(position) * inv_freq[i];
      *value++ = static_cast<float>(std::cos(angle));
      *value++ = static_cast<float>(std::sin(angle));
    }
  }
}

View RopeTable::cos_sin() const { return view(values_.as<float>(), {n_positions_, n_pairs_, 2}); }

DeviceRopeTable::DeviceRopeTable(const RopeTable& table, Device& device, MemoryLedger& ledger)
    : cos_sin_(table.cos_sin()) {
  if (device.is_host()) return;
  const int64_t n_bytes = cos_sin_.n_rows() * cos_sin_.row_size() * int64_t{sizeof(float)};
  copy_ = DeviceBuffer(device, ledger, MemoryTag::kOther, n_bytes);
  device.upload(copy_.data(), cos_sin_.data, n_bytes);
  cos_sin_.data = copy_.data();
}

}  // namespace lockstep
