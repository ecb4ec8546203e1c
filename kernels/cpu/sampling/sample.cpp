// The fast sampler. Every operation over a whole row is a vector pass (SampleScan); only the
// candidates that can still be drawn are sorted. Rows are sampled side by side, by at most as many
// threads as the scratch has areas.
#include <algorithm>
#include <cfloat>
#include <cstring>

#include "common/check.h"
#include "common/units.h"
#include "kernels/cpu/sampling/candidates.h"
#include "kernels/cpu/sampling/sample_scan.h"
#include "kernels/cpu/sampling/sample_scan_impl.h"
#include "kernels/cpu/simd/fast_ops.h"
#include "kernels/cpu/simd/simd_portable.h"
#include "kernels/math.h"
#include "kernels/philox.h"
#include "kernels/sampling.h"

namespace lockstep {
namespace {

constexpr int kAreas = 4;  // rows sampled at the same time
constexpr int64_t kAlignment = 64;

constexpr int64_t aligned(int64_t n_bytes) { return round_up(n_bytes, kAlignment); }
constexpr int64_t n_chunks(int64_t vocab_size) { return ceil_div(vocab_size, kSampleChunk); }

// The part of the shared scratch that one row uses.
struct Area {
  std::span<uint64_t> keys;     // [vocab_size + chunk] candidates
  std::span<int32_t> counts;    // [vocab_size] in the output; shares the memory of `keys`
  std::span<float> raw;         // [vocab_size] logits of penalised ids, before the penalty
  std::span<float> chunk_sums;  // [n_chunks]

  Area(std::byte* data, int64_t vocab_size) {
    const size_t n = static_cast<size_t>(vocab_size);
    keys = {reinterpret_cast<uint64_t*>(data), n + kSampleChunk};
    counts = {reinterpret_cast<int32_t*>(data), n};
    raw = {reinterpret_cast<float*>(data + keys_bytes(vocab_size)), n};
    chunk_sums = {reinterpret_cast<float*>(data + keys_bytes(vocab_size) + raw_bytes(vocab_size)),
                  static_cast<size_t>(n_chunks(vocab_size))};
  }
  static int64_t bytes(int64_t vocab_size) {
    return keys_bytes(vocab_size) + raw_bytes(vocab_size) + aligned(n_chunks(vocab_size) * 4);
  }
  static int64_t keys_bytes(int64_t vocab_size) { return aligned((vocab_size + kSampleChunk) * 8); }
  static int64_t raw_bytes(int64_t vocab_size) { return aligned(vocab_size * 4); }
};

class RowSampler {
 public:
  RowSampler(const SampleArgs& args, const SampleScan& scan, int64_t index, const Area& area)
      : args_(args),
        scan_(scan),
        index_(index),
        row_(args.rows[index]),
        area_(area),
        z_(args.logits.row<float>(index), static_cast<size_t>(args.logits.shape[1])) {
    check_row(args, row_);
    token_ids_ = {args.token_ids.row<int32_t>(row_.seq_slot), static_cast<size_t>(row_.n_known)};
  }

  void run() {
    raw_max_ = scan_.finite_max(z_.data(), vocab_size());
    const bool finite = raw_max_ == raw_max_;
    *args_.finite.row<uint8_t>(index_) = finite;
    if (finite && row_.n_logprobs >= 0) write_top_logprobs();
    raw_first_ = z_[0];
    const int32_t id = finite ? sampled_id() : 0;
    *args_.ids.row<int32_t>(index_) = id;
    args_.token_ids.row<int32_t>(row_.seq_slot)[row_.n_known] = id;
    if (finite && row_.n_logprobs >= 0) *args_.logprobs.row<float>(index_) = logprob(raw_logit(id));
  }

 private:
  int64_t vocab_size() const { return static_cast<int64_t>(z_.size()); }
  float& z(int32_t id) const { return z_[static_cast<size_t>(id)]; }
  bool in_vocab(int32_t id) const { return id >= 0 && id < vocab_size(); }

  float logprob(float raw) const { return (raw - raw_max_) - log_sum_; }

  void write_top_logprobs() {
    log_sum_ = reference::log(scan_.sum_exp(z_.data(), vocab_size(), raw_max_));
    const int64_t n = std::min<int64_t>({row_.n_logprobs, kMaxTopLogprobs, vocab_size()});
    if (n == 0) return;
    int32_t* ids = args_.top_ids.row<int32_t>(index_);
    float* logprobs = args_.top_logprobs.row<float>(index_);
    for (uint64_t key : best_keys(scan_, z_, n, area_.keys)) {
      *ids++ = id_of_key(key);
      *logprobs++ = logprob(z(id_of_key(key)));
    }
  }

  int32_t sampled_id() {
    float top = raw_max_;
    if (has_penalties(row_)) apply_penalties();
    const bool banned = remove_banned();
    if (has_penalties(row_) || banned) top = scan_.max(z_.data(), vocab_size());
    if (row_.temperature == 0.0f || top < -FLT_MAX) return first_with(top);
    weights_ = {top, row_.temperature, least_kept_x(row_)};
    if (has_top_k(row_, vocab_size())) return draw_top_k();
    return has_top_p(row_) ? draw_top_p() : draw_by_id();
  }

  int32_t first_with(float value) const {
    return static_cast<int32_t>(scan_.find(z_.data(), vocab_size(), value));
  }

  // Applies the penalties once to each id in prompt or output. The counts of these ids are set
  // before they are used, so that the whole vocabulary need not be cleared; -1 marks a finished id.
  void apply_penalties() {
    int32_t* counts = area_.counts.data();
    for (int32_t id : token_ids_) {
      if (in_vocab(id)) counts[id] = 0;
    }
    for (size_t i = static_cast<size_t>(std::max(row_.n_prompt, 0)); i < token_ids_.size(); ++i) {
      if (in_vocab(token_ids_[i])) ++counts[token_ids_[i]];
    }
    for (int32_t id : token_ids_) {
      if (!in_vocab(id) || counts[id] < 0) continue;
      area_.raw[static_cast<size_t>(id)] = z(id);
      z(id) = penalise(z(id), counts[id], row_);
      counts[id] = -1;
    }
  }

  // Sets banned ids to -Inf, which no pass takes for a candidate. Returns whether there were any.
  bool remove_banned() {
    const std::span<const int32_t> banned = banned_of(args_, row_);
    for (int32_t id : banned) {
      if (in_vocab(id)) z(id) = -std::numeric_limits<float>::infinity();
    }
    return !banned.empty();
  }

  // The logit of the sampled id before penalties. The id is never a banned one, except id 0 when
  // all ids are banned.
  float raw_logit(int32_t id) const {
    if (id == 0) return raw_first_;
    const bool penalised = has_penalties(row_) &&
                           std::find(token_ids_.begin(), token_ids_.end(), id) != token_ids_.end();
    return penalised ? area_.raw[static_cast<size_t>(id)] : z(id);
  }

  float x_of(uint64_t key) const {
    return (z(id_of_key(key)) - weights_.top) / weights_.temperature;
  }
  float weight_of(uint64_t key) const {
    const float x = x_of(key);
    return x >= weights_.least_x ? reference::exp(x) : 0.0f;
  }
  float unit() const { return random_unit(row_.seed, row_.output_idx, row_.choice); }

  int64_t chunk_length(int64_t chunk) const {
    return std::min<int64_t>(kSampleChunk, vocab_size() - chunk * kSampleChunk);
  }

  // The sum of all weights by id; leaves the sums of the chunks in the area.
  float sum_by_id() const {
    float total = 0.0f;
    for (int64_t chunk = 0; chunk < n_chunks(vocab_size()); ++chunk) {
      const float sum =
          scan_.sum_weights(z_.data() + chunk * kSampleChunk, chunk_length(chunk), weights_);
      area_.chunk_sums[static_cast<size_t>(chunk)] = sum;
      total += sum;
    }
    return total;
  }

  int32_t draw_by_id() const {
    const float target = unit() * sum_by_id();
    float sum = 0.0f;
    int64_t chunk = 0;
    for (; chunk + 1 < n_chunks(vocab_size()); ++chunk) {
      const float next = sum + area_.chunk_sums[static_cast<size_t>(chunk)];
      if (next > target) break;
      sum = next;
    }
    float p[kSampleChunk];
    const int64_t first = chunk * kSampleChunk;
    scan_.weigh(z_.data() + first, chunk_length(chunk), weights_, p);
    int64_t last = 0;
    for (int64_t i = 0; i < chunk_length(chunk); ++i) {
      sum += p[i];
      if (sum > target) return static_cast<int32_t>(first + i);
      if (p[i] > 0.0f) last = i;
    }
    return static_cast<int32_t>(first + last);
  }

  // Draws from ordered candidates, whose weights sum to `total` in that order.
  int32_t draw(std::span<const uint64_t> keys, float total) const {
    const float target = unit() * total;
    float sum = 0.0f;
    for (uint64_t key : keys) {
      sum += weight_of(key);
      if (sum > target) return id_of_key(key);
    }
    return id_of_key(keys.back());
  }

  int32_t draw_top_k() const {
    std::span<const uint64_t> keys = best_keys(scan_, z_, row_.top_k, area_.keys);
    // The keys are sorted, so those below min-p are at the end.
    while (x_of(keys.back()) < weights_.least_x) keys = keys.first(keys.size() - 1);
    float total = 0.0f;
    for (uint64_t key : keys) total += weight_of(key);
    if (!has_top_p(row_)) return draw(keys, total);
    const float enough = row_.top_p * total;
    float sum = 0.0f;
    size_t n = 0;
    while (n < keys.size() && (n == 0 || !(sum >= enough))) sum += weight_of(keys[n++]);
    return draw(keys.first(n), sum);
  }

  int32_t draw_top_p() const {
    const float enough = row_.top_p * sum_by_id();
    FallingBands bands(scan_, z_, weights_.top, weights_.temperature, area_.keys);
    float sum = 0.0f;
    size_t n = 0;  // candidates kept
    for (bool more = true; more && !bands.done();) {
      for (uint64_t key : bands.next()) {
        more = (n == 0 || !(sum >= enough)) && x_of(key) >= weights_.least_x;
        if (!more) break;
        sum += weight_of(key);
        ++n;
      }
    }
    return draw(bands.given().first(n), sum);
  }

  const SampleArgs& args_;
  const SampleScan& scan_;
  const int64_t index_;
  const SamplingRow& row_;
  const Area& area_;
  const std::span<float> z_;  // logits of the row; penalties and bans are applied in place
  std::span<const int32_t> token_ids_;
  SampleWeights weights_;
  float raw_max_ = 0.0f;
  float raw_first_ = 0.0f;  // logit of id 0
  float log_sum_ = 0.0f;
};

void run(const SampleArgs& args, const SampleScan& scan, ThreadTeam& team) {
  const int64_t n_rows = args.logits.n_rows();
  const int64_t vocab_size = args.logits.shape[1];
  std::byte* const scratch = team.shared_scratch(kAreas * Area::bytes(vocab_size));
  const int n_areas = static_cast<int>(std::min<int64_t>({n_rows, kAreas, team.n_threads()}));
  team.run(n_areas, [&](int index, int thread) {
    const Area area(scratch + index * Area::bytes(vocab_size), vocab_size);
    for (int64_t row = index; row < n_rows; row += n_areas) {
      RowSampler(args, scan, row, area).run();
      team.progress(thread).bump();
    }
  });
}

}  // namespace

ScratchBytes sample_scratch_bytes(const StreamLimits& limits) {
  return {.shared = kAreas * Area::bytes(limits.vocab_size), .per_thread = 0};
}

constinit const SampleScan kSampleScanPortable = simd::Scan<simd::Portable>::table();

void sample_portable(const SampleArgs& args, ThreadTeam& team) {
  run(args, kSampleScanPortable, team);
}
void sample_avx2(const SampleArgs& args, ThreadTeam& team) { run(args, kSampleScanAvx2, team); }
void sample_avx512(const SampleArgs& args, ThreadTeam& team) { run(args, kSampleScanAvx512, team); }

}  // namespace lockstep
