#include "bench/gpu/timings.h"

#include <algorithm>
#include <cmath>

#include "bench/gpu/side.h"
#include "common/units.h"
#include "kernels/kv_layout.h"

namespace lockstep::gpu_check {
namespace {

// The shapes are those of an 8B Llama, unless a name says otherwise.
constexpr int64_t kHidden = 4096, kFfn = 14336, kVocab = 128256;
constexpr int kHeads = 32, kKvHeads = 8, kHeadDim = 128, kBlockSize = 16;
constexpr int64_t kBeyondCaches = 256_MiB;  // so every launch reads memory that is in no cache
constexpr int kRounds = 7;

// The part of a model's matrix that one rank holds.
struct Matrix {
  const char* what;
  int64_t n_rows, leaf_k;
  LeafRange leaves;
};

// The matrices differ in the number of chains per panel, which warps share: from one (qkv of a
// small model) to 128.
constexpr Matrix kMatrices[] = {
    {"qkv 6144 x 4096", int64_t{kHeads + 2 * kKvHeads} * kHeadDim, kHidden, {1, 0, 1}},
    {"o 4096 x 8*512", kHidden, kHidden / 8, {8, 0, 8}},
    {"gate_up 28672 x 4096", 2 * kFfn, kHidden, {1, 0, 1}},
    {"down 4096 x 8*1792", kHidden, kFfn / 8, {8, 0, 8}},
    {"head 128256 x 4096", kVocab, kHidden, {1, 0, 1}},
    {"1 of 8 ranks: qkv 768 x 4096", 768, kHidden, {1, 0, 1}},
    {"1 of 8 ranks: o 4096 x 512", kHidden, kHidden / 8, {8, 3, 1}},
    {"1 of 8 ranks: gate_up 3584 x 4096", 2 * kFfn / 8, kHidden, {1, 0, 1}},
    {"1 of 8 ranks: down 4096 x 1792", kHidden, kFfn / 8, {8, 3, 1}},
    {"1.5B: qkv 2048 x 1536", 2048, 1536, {1, 0, 1}},  // of Qwen2.5
    {"1.5B: o 1536 x 6*256", 1536, 256, {6, 0, 6}},
    {"1.5B: gate_up 17920 x 1536", 17920, 1536, {1, 0, 1}},
    {"1.5B: down 1536 x 8*1120", 1536, 1120, {8, 0, 8}},
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Bench {
 public:
  Bench(Device& device, Stream& stream, CudaTime& time, CudaCopy& copy)
      : device_(device), stream_(stream), time_(time), copy_(copy), noise_(16_MiB) {
    // Bytes that are small positive numbers as f32 and as f16, so they can serve as scales,
    // activations and quants.
    Random random(1);
    for (uint8_t& byte : noise_) byte = static_cast<uint8_t>(random.integer(0x20, 0x3b));
  }

  void copy();
  void add_rms_norm(int64_t n_tokens);
  void linear(const Matrix& matrix, int64_t n_tokens);
  void rope_store(int64_t n_tokens);
  void attention(int64_t n_seqs, int64_t n_keys);
  std::vector<Timing> take() { return std::move(timings_); }

 private:
  // Device memory filled with noise, valid until the next op.
  std::byte* noise(int64_t n_bytes) {
    buffers_.emplace_back(device_, ledger_, MemoryTag::kOther, n_bytes);
    for (int64_t at = 0; at < n_bytes; at += std::ssize(noise_)) {
      device_.upload(buffers_.back().data() + at, noise_.data(),
                     std::min<int64_t>(std::ssize(noise_), n_bytes - at));
    }
    return buffers_.back().data();
  }
  View floats(std::initializer_list<int64_t> shape) {
    View v = view(static_cast<float*>(nullptr), shape);
    v.data = noise(v.n_rows() * v.row_size() * 4);
    return v;
  }
  View ints(const std::vector<int32_t>& values, std::initializer_list<int64_t> shape) {
    void* data = noise(std::ssize(values) * 4);
    device_.upload(data, values.data(), std::ssize(values) * 4);
    return view(static_cast<int32_t*>(data), shape);
  }
  QuantizedActs quantized(int64_t n_tokens, int64_t k) {
    return {view(reinterpret_cast<uint8_t*>(noise(n_tokens * k)), {n_tokens, k}),
            floats({n_tokens, k / 32}), floats({n_tokens, k / 32}),
            ints(std::vector<int32_t>(static_cast<size_t>(n_tokens * k / 32)), {n_tokens, k / 32})};
  }
  KvPages pages(int64_t n_blocks) {
    const int64_t block_bytes = kv_block_bytes(DType::kF16, kBlockSize, kKvHeads, kHeadDim);
    return {noise(n_blocks * block_bytes),
            DType::kF16,
            n_blocks,
            block_bytes,
            kBlockSize,
            kKvHeads,
            kHeadDim};
  }

  // Times launch(i) for i = 0, 1, …, which goes round `n_sets` sets of data.
  template <class Launch>
  void measure(std::string op, std::string what, double bytes, int64_t n_sets,
               const Launch& launch) {
    constexpr int kRuns = 50;
    int64_t i = 0;
    std::vector<double> rounds;
    for (int round = 0; round < kRounds; ++round) {
      rounds.push_back(time_(
          stream_, [&] { launch(i++ % n_sets); }, kRuns));
    }
    timings_.push_back({std::move(op), std::move(what), median(rounds), bytes});
    buffers_.clear();
  }

  Device& device_;
  Stream& stream_;
  CudaTime& time_;
  CudaCopy& copy_;
  std::vector<uint8_t> noise_;
  MemoryLedger ledger_;
  std::vector<DeviceBuffer> buffers_;
  std::vector<Timing> timings_;
};

std::string tokens_text(int64_t n) { return std::to_string(n) + (n == 1 ? " token" : " tokens"); }

void Bench::copy() {
  constexpr int64_t kBytes = 512_MiB;
  std::byte* from = noise(kBytes);
  std::byte* to = noise(kBytes);
  measure("copy", "512 MiB, read and written", 2.0 * kBytes, 1,
          [&](int64_t) { copy_(stream_, to, from, kBytes); });
}

void Bench::add_rms_norm(int64_t n_tokens) {
  const View partials = floats({1, n_tokens, kHidden});
  const View residual = floats({n_tokens, kHidden});
  const View weight = floats({kHidden});
  const Acts out{{}, quantized(n_tokens, kHidden)};
  const std::vector<Subtree> layout{{0, 8}};
  const double bytes = double(n_tokens) * kHidden * (4 + 4 + 4 + 1 + 12.0 / 32) + 4.0 * kHidden;
  measure("add_rms_norm", "4096 wide, " + tokens_text(n_tokens), bytes, 1, [&](int64_t) {
    lockstep::add_rms_norm(
        {.add = {.partials = partials, .layout = layout, .n_leaves = 8, .residual = residual},
         .weight = weight,
         .out = out},
        stream_);
  });
}

void Bench::linear(const Matrix& matrix, int64_t n_tokens) {
  const auto& [what, n_rows, leaf_k, leaves] = matrix;
  const int64_t k = leaf_k * leaves.n;
  const int64_t n_bytes = packed_bytes(WeightType::kQ8_0, n_rows, k);
  const int64_t n_sets = ceil_div(kBeyondCaches, n_bytes);
  std::byte* weights = noise(n_bytes * n_sets);
  const QuantizedActs x = quantized(n_tokens, k);
  const View y = floats({1, n_tokens, n_rows});
  const double bytes =
      double(n_bytes) + double(n_tokens) * (double(k) * (1 + 4.0 / 32) + 4.0 * double(n_rows));
  measure("linear Q8_0", std::string(what) + ", " + tokens_text(n_tokens), bytes, n_sets,
          [&](int64_t set) {
            LinearArgs args;
            args.x.quantized = x;
            args.weights = {WeightType::kQ8_0, matrix.n_rows,           k,
                            matrix.leaves,     weights + set * n_bytes, PackedLayout::kFragments};
            args.out = y;
            lockstep::linear(args, stream_);
          });
}

void Bench::rope_store(int64_t n_tokens) {
  constexpr int64_t kQkv = int64_t{kHeads + 2 * kKvHeads} * kHeadDim;
  std::vector<int32_t> positions, slots;
  for (int64_t t = 0; t < n_tokens; ++t) {
    positions.push_back(static_cast<int32_t>(t));
    slots.push_back(static_cast<int32_t>(t * kBlockSize));  // one per block, as in decoding
  }
  RopeStoreArgs args;
  args.q = floats({n_tokens, kHeads + 2 * kKvHeads, kHeadDim});
  args.k = args.v = args.q;
  args.k.data = args.q.row<float>(0) + int64_t{kHeads} * kHeadDim;
  args.v.data = args.q.row<float>(0) + int64_t{kHeads + kKvHeads} * kHeadDim;
  args.q.shape[1] = kHeads;
  args.k.shape[1] = args.v.shape[1] = kKvHeads;
  args.positions = ints(positions, {n_tokens});
  args.slot_mapping = ints(slots, {n_tokens});
  args.cos_sin = floats({n_tokens, kHeadDim / 2, 2});
  args.style = RopeStyle::kHalves;
  args.kv = pages(n_tokens);
  const double bytes = double(n_tokens) * (kQkv * 4.0 + kHeads * kHeadDim * 4.0 +
                                           2.0 * kKvHeads * kHeadDim * 2.0 + kHeadDim * 4.0);
  measure("rope_store", "32/8 heads of 128, " + tokens_text(n_tokens), bytes, 1,
          [&](int64_t) { lockstep::rope_store(args, stream_); });
}

void Bench::attention(int64_t n_seqs, int64_t n_keys) {
  const int64_t blocks_per_seq = n_keys / kBlockSize;
  const double bytes = double(n_seqs) * double(n_keys) * 2 * kKvHeads * kHeadDim * 2;
  const int64_t n_sets = ceil_div(kBeyondCaches, static_cast<int64_t>(bytes));
  const KvPages all = pages(n_sets * n_seqs * blocks_per_seq);
  std::vector<int32_t> tables, positions, seqs;
  for (int64_t i = 0; i < n_sets * n_seqs * blocks_per_seq; ++i) {
    tables.push_back(static_cast<int32_t>(i));
  }
  Random random(2);
  std::shuffle(tables.begin(), tables.end(), random.engine());
  for (int64_t s = 0; s < n_seqs; ++s) {
    positions.push_back(static_cast<int32_t>(n_keys - 1));
    seqs.push_back(static_cast<int32_t>(s));
  }
  AttentionArgs args;
  args.q = floats({n_seqs, kHeads, kHeadDim});
  args.kv = all;
  args.positions = ints(positions, {n_seqs});
  args.seq_of_token = ints(seqs, {n_seqs});
  const View table = ints(tables, {n_sets * n_seqs, blocks_per_seq});
  args.scale = static_cast<float>(1 / std::sqrt(double(kHeadDim)));
  args.out = floats({n_seqs, int64_t{kHeads} * kHeadDim});
  measure("attention",
          "32/8 heads of 128, f16, " + std::to_string(n_seqs) + " x " + std::to_string(n_keys) +
              " keys",
          bytes, n_sets, [&](int64_t set) {
            args.block_tables = view(table.row<int32_t>(set * n_seqs), {n_seqs, blocks_per_seq});
            lockstep::attention(args, stream_);
          });
}

}  // namespace

std::vector<Timing> time_kernels(Device& device, Stream& stream, CudaTime& time, CudaCopy& copy) {
  Bench bench(device, stream, time, copy);
  bench.copy();
  for (int64_t n : {1, 8, 64}) bench.add_rms_norm(n);
  for (int64_t n : {1, 2, 4, 8, 16, 64}) {
    for (const Matrix& matrix : kMatrices) bench.linear(matrix, n);
  }
  for (int64_t n : {1, 64}) bench.rope_store(n);
  for (int64_t n_seqs : {1, 16}) {
    for (int64_t n_keys : {1024, 8192}) bench.attention(n_seqs, n_keys);
  }
  return bench.take();
}

}  // namespace lockstep::gpu_check
