// The sampler: the items of docs/numerics.md section 5 one after another, on copies of the logits
// and with full sorts.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "kernels/math.h"
#include "kernels/philox.h"
#include "kernels/reference/reference_ops.h"
#include "kernels/reference/strided_sum.h"
#include "kernels/sampling.h"

namespace lockstep::reference {
namespace {

class RowSampler {
 public:
  RowSampler(const SampleArgs& args, int64_t index)
      : args_(args),
        index_(index),
        row_(args.rows[index]),
        vocab_size_(args.logits.shape[1]),
        raw_(args.logits.row<float>(index), args.logits.row<float>(index) + vocab_size_),
        z_(raw_),
        kept_(raw_.size(), true) {
    check_row(args, row_);
  }

  void run() {
    const bool finite = std::all_of(raw_.begin(), raw_.end(), [](float z) {
      return std::fabs(z) <= std::numeric_limits<float>::max();
    });
    *args_.finite.row<uint8_t>(index_) = finite;
    const int32_t id = finite ? sampled_id() : 0;
    *args_.ids.row<int32_t>(index_) = id;
    token_ids()[row_.n_known] = id;
    if (finite && row_.n_logprobs >= 0) write_logprobs(id);
  }

 private:
  int32_t* token_ids() const { return args_.token_ids.row<int32_t>(row_.seq_slot); }
  float z(int32_t id) const { return z_[static_cast<size_t>(id)]; }
  bool kept(int32_t id) const { return kept_[static_cast<size_t>(id)]; }

  int32_t sampled_id() {
    apply_penalties();
    remove_banned();
    const std::vector<int32_t> sorted = sorted_ids(z_);
    if (sorted.empty()) return 0;
    if (row_.temperature == 0.0f) return sorted.front();
    top_ = z(sorted.front());
    for (int32_t id = 0; id < vocab_size_; ++id) {
      if (!(x(id) >= least_kept_x(row_))) kept_[static_cast<size_t>(id)] = false;
    }
    if (has_top_k(row_, vocab_size_) || has_top_p(row_)) return draw_sorted();
    return draw_by_id();
  }

  void apply_penalties() {
    std::map<int32_t, int32_t> count_in_output;  // key: every id in prompt or output
    for (int32_t i = 0; i < row_.n_known; ++i) {
      const int32_t id = token_ids()[i];
      if (id >= 0 && id < vocab_size_) count_in_output[id] += i >= row_.n_prompt ? 1 : 0;
    }
    if (!has_penalties(row_)) return;
    for (const auto& [id, count] : count_in_output) {
      z_[static_cast<size_t>(id)] = penalise(z(id), count, row_);
    }
  }

  void remove_banned() {
    for (int32_t id : banned_of(args_, row_)) {
      if (id >= 0 && id < vocab_size_) kept_[static_cast<size_t>(id)] = false;
    }
  }

  // The kept ids, by value descending, ties to the lowest id.
  std::vector<int32_t> sorted_ids(const std::vector<float>& values) const {
    std::vector<int32_t> ids(values.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::erase_if(ids, [&](int32_t id) { return !kept(id); });
    std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
      return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
    });
    return ids;
  }

  float x(int32_t id) const { return (z(id) - top_) / row_.temperature; }
  float weight(int32_t id) const { return kept(id) ? exp(x(id)) : 0.0f; }
  float unit() const { return random_unit(row_.seed, row_.output_idx, row_.choice); }

  float chunk_sum(int32_t first) const {
    StridedSum sum;
    for (int32_t id = first; id < chunk_end(first); ++id) sum.lane(id - first) += weight(id);
    return sum.total();
  }
  int32_t chunk_end(int32_t first) const {
    return static_cast<int32_t>(std::min<int64_t>(first + kSampleChunk, vocab_size_));
  }
  float sum_by_id() const {
    float total = 0.0f;
    for (int32_t id = 0; id < vocab_size_; id += kSampleChunk) total += chunk_sum(id);
    return total;
  }

  int32_t draw_by_id() const {
    const float target = unit() * sum_by_id();
    float sum = 0.0f;
    int32_t first = 0;
    while (chunk_end(first) < vocab_size_ && !(sum + chunk_sum(first) > target)) {
      sum += chunk_sum(first);
      first += kSampleChunk;
    }
    int32_t last = first;
    for (int32_t id = first; id < chunk_end(first); ++id) {
      sum += weight(id);
      if (sum > target) return id;
      if (weight(id) > 0.0f) last = id;
    }
    return last;
  }

  int32_t draw_sorted() const {
    std::vector<int32_t> ids = sorted_ids(z_);
    float total = 0.0f;
    if (has_top_k(row_, vocab_size_)) {
      ids.resize(std::min(ids.size(), static_cast<size_t>(row_.top_k)));
      for (int32_t id : ids) total += weight(id);
    } else {
      total = sum_by_id();
    }
    if (has_top_p(row_)) {
      const float enough = row_.top_p * total;
      float sum = 0.0f;
      size_t n = 0;
      while (n < ids.size() && (n == 0 || !(sum >= enough))) sum += weight(ids[n++]);
      ids.resize(n);
    }
    float kept_total = 0.0f;
    for (int32_t id : ids) kept_total += weight(id);
    const float target = unit() * kept_total;
    float sum = 0.0f;
    for (int32_t id : ids) {
      sum += weight(id);
      if (sum > target) return id;
    }
    return ids.back();
  }

  void write_logprobs(int32_t id) {
    const float max = *std::max_element(raw_.begin(), raw_.end());
    StridedSum sum;
    for (int64_t j = 0; j < vocab_size_; ++j)
      sum.lane(j) += exp(raw_[static_cast<size_t>(j)] - max);
    const float log_sum = log(sum.total());
    const auto logprob = [&](int32_t i) { return (raw_[static_cast<size_t>(i)] - max) - log_sum; };
    *args_.logprobs.row<float>(index_) = logprob(id);
    kept_.assign(raw_.size(), true);
    const std::vector<int32_t> sorted = sorted_ids(raw_);
    const int64_t n = std::min<int64_t>({row_.n_logprobs, kMaxTopLogprobs, vocab_size_});
    for (int64_t i = 0; i < n; ++i) {
      args_.top_ids.row<int32_t>(index_)[i] = sorted[static_cast<size_t>(i)];
      args_.top_logprobs.row<float>(index_)[i] = logprob(sorted[static_cast<size_t>(i)]);
    }
  }

  const SampleArgs& args_;
  const int64_t index_;
  const SamplingRow& row_;
  const int64_t vocab_size_;
  const std::vector<float> raw_;
  std::vector<float> z_;    // after penalties
  std::vector<bool> kept_;  // neither banned nor below min-p
  float top_ = 0.0f;        // the largest z that is not banned
};

}  // namespace

void sample(const SampleArgs& args) {
  for (int64_t i = 0; i < args.logits.n_rows(); ++i) RowSampler(args, i).run();
}

}  // namespace lockstep::reference
