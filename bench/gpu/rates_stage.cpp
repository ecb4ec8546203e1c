#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/gpu/first_gpu.h"
#include "bench/gpu/paged_data.h"
#include "bench/gpu/timer.h"
#include "common/log.h"
#include "common/units.h"
#include "kernels/sampling.h"

namespace lockstep::gpu_check {
namespace {

// The layers' matrices of one model: rows, and leaves of K (docs/numerics.md section 2).
struct Matrix {
  const char* what;
  int64_t n_rows, leaf_k;
  LeafRange leaves;
};

struct Shapes {
  std::vector<Matrix> matrices, heads;
  int64_t hidden = 0, ffn = 0, vocab = 0;
  int n_heads = 1, n_kv_heads = 1, head_dim = 64;
  std::vector<WeightType> types;
  std::vector<int64_t> n_tokens, n_seqs, n_keys;
  int64_t beyond_caches = 0;  // bytes; launches read in turn data that add up to so many
  int64_t arena = 0;          // bytes of device memory that the ops work in
};

// Llama 3 8B; its output head and the matrices of Qwen2.5 1.5B beside it.
Shapes real_shapes() {
  Shapes s;
  s.matrices = {
      {"8B qkv 6144 x 4096", 6144, 4096, {1, 0, 1}},
      {"8B o 4096 x 4096", 4096, 512, {8, 0, 8}},
      {"8B gate_up 28672 x 4096", 28672, 4096, {1, 0, 1}},
      {"8B down 4096 x 14336", 4096, 1792, {8, 0, 8}},
      {"1.5B qkv 2048 x 1536", 2048, 1536, {1, 0, 1}},
      {"1.5B o 1536 x 1536", 1536, 256, {6, 0, 6}},
      {"1.5B gate_up 17920 x 1536", 17920, 1536, {1, 0, 1}},
      {"1.5B down 1536 x 8960", 1536, 1120, {8, 0, 8}},
  };
  s.heads = {{"8B head 128256 x 4096", 128256, 4096, {1, 0, 1}}};
  s.hidden = 4096;
  s.ffn = 14336;
  s.vocab = 128256;
  s.n_heads = 32;
  s.n_kv_heads = 8;
  s.head_dim = 128;
  s.types = {WeightType::kQ8_0, WeightType::kQ4_0, WeightType::kQ4_1, WeightType::kQ5_0,
             WeightType::kQ5_1, WeightType::kQ4_K, WeightType::kQ5_K, WeightType::kQ6_K,
             WeightType::kBF16, WeightType::kF16,  WeightType::kF32};
  s.n_tokens = {1, 8, 64, 512};
  s.n_seqs = {1, 16, 64};
  s.n_keys = {512, 4096, 32768};
  s.beyond_caches = 256_MiB;
  s.arena = 20_GiB;
  return s;
}

// So small that an emulated device takes seconds for all of it.
Shapes small_shapes() {
  Shapes s;
  s.matrices = {{"64 x 96", 64, 96, {1, 0, 1}}, {"32 x 128", 32, 32, {4, 0, 4}}};
  s.heads = {{"head 100 x 64", 100, 64, {1, 0, 1}}};
  s.hidden = 64;
  s.ffn = 96;
  s.vocab = 100;
  s.n_heads = 4;
  s.n_kv_heads = 2;
  s.head_dim = 32;
  s.types = {WeightType::kQ8_0, WeightType::kQ4_K, WeightType::kF32};
  s.n_tokens = {1, 9};
  s.n_seqs = {1, 2};
  s.n_keys = {32, 64};
  s.beyond_caches = 1;
  s.arena = 4_MiB;
  return s;
}

class Rates {
 public:
  Rates(FirstGpu& gpu, const Shapes& shapes, Sizes sizes, Report& report)
      : gpu_(gpu),
        stream_(gpu.stream()),
        shapes_(shapes),
        timer_(gpu, sizes),
        report_(report),
        arena_(timer_.noise(shapes.arena)) {}

  void linear(WeightType type, const Matrix& matrix, int64_t n_tokens);
  void add_rms_norm(int64_t n_tokens);
  void silu_mul(int64_t n_tokens);
  void rope_store(DType kv_dtype, int64_t n_tokens);
  // n_seqs sequences, of each of which the last n_rows of n_keys tokens are computed.
  void attention(DType kv_dtype, int64_t n_seqs, int64_t n_keys, int64_t n_rows);
  // Rows of equally likely ids, greedy or with top-k, top-p and penalties.
  void sample(int64_t n_rows, bool greedy);
  int n() const { return n_; }

 private:
  // Memory of the arena, valid until the end of the op.
  std::byte* take(int64_t n_bytes) {
    std::byte* taken = arena_.data() + used_;
    used_ += round_up(n_bytes, 256);
    CHECK(used_ <= arena_.bytes());
    return taken;
  }
  View floats(std::initializer_list<int64_t> shape) {
    View v = view(static_cast<float*>(nullptr), shape);
    v.data = take(v.n_rows() * v.row_size() * 4);
    return v;
  }
  View ints(const std::vector<int32_t>& values, std::initializer_list<int64_t> shape) {
    std::byte* data = take(std::ssize(values) * 4);
    gpu_.device().upload(data, values.data(), std::ssize(values) * 4);
    return view(reinterpret_cast<int32_t*>(data), shape);
  }
  QuantizedActs quantized(int64_t n_tokens, int64_t k) {
    const int64_t n_blocks = k / 32;
    return {view(reinterpret_cast<uint8_t*>(take(n_tokens * k)), {n_tokens, k}),
            floats({n_tokens, n_blocks}), floats({n_tokens, n_blocks}),
            view(reinterpret_cast<int32_t*>(take(n_tokens * n_blocks * 4)), {n_tokens, n_blocks})};
  }
  KvPages pages(DType dtype, int64_t n_blocks) {
    const int64_t block_bytes =
        kv_block_bytes(dtype, kBlockSize, shapes_.n_kv_heads, shapes_.head_dim);
    return {take(n_blocks * block_bytes), dtype,           n_blocks, block_bytes, kBlockSize,
            shapes_.n_kv_heads,           shapes_.head_dim};
  }

  // Times launch(i) for i = 0, 1, …, which goes round n_sets sets of data. n_bytes: that an op must
  // read and write; n_products: multiplications that each come with an addition; 0 = few.
  template <class Launch>
  void measure(const std::string& op, const std::string& what, double n_bytes, double n_products,
               int64_t n_sets, const Launch& launch) {
    int64_t i = 0;
    const double us = timer_.microseconds([&] { launch(i++ % n_sets); });
    const double gb_per_s = n_bytes / us / 1e3, tops = 2 * n_products / us / 1e6;
    char text[140];
    std::snprintf(text, sizeof text, "%-14s %-40s %10.2f us %7.0f GB/s", op.c_str(), what.c_str(),
                  us, gb_per_s);
    std::string line = text;
    JsonObject members;
    members.add("op", op).add("what", what).add("us", us).add("gb_per_s", gb_per_s);
    if (n_products > 0) {
      std::snprintf(text, sizeof text, " %7.1f TOP/s", tops);
      line += text;
      members.add("tops", tops);
    }
    report_.result(line, members);
    used_ = 0;
    ++n_;
  }

  static constexpr int kBlockSize = 16;  // tokens per KV block

  FirstGpu& gpu_;
  Stream& stream_;
  const Shapes& shapes_;
  const Timer timer_;
  Report& report_;
  const DeviceBuffer arena_;
  int64_t used_ = 0;  // bytes of the arena
  int n_ = 0;         // results
};

std::string count(int64_t n, const char* what) { return str(n, " ", what, n == 1 ? "" : "s"); }

void Rates::linear(WeightType type, const Matrix& matrix, int64_t n_tokens) {
  const int64_t k = matrix.leaf_k * matrix.leaves.n;
  const PackedWeights shape{type,          matrix.n_rows, k,
                            matrix.leaves, nullptr,       PackedLayout::kFragments};
  const int64_t n_bytes = packed_bytes(shape);
  const int64_t n_sets = ceil_div(shapes_.beyond_caches, n_bytes);
  LinearArgs args;
  if (is_quantized(type)) {
    args.x.quantized = quantized(n_tokens, k);
  } else {
    args.x.f32 = floats({n_tokens, k});
  }
  args.out = floats({1, n_tokens, matrix.n_rows});
  const std::byte* weights = take(n_bytes * n_sets);
  const double x_bytes = is_quantized(type) ? double(k) * (1 + 4.0 / 32) : 4.0 * double(k);
  measure(str("linear ", to_string(type)), str(matrix.what, ", ", count(n_tokens, "token")),
          double(n_bytes) + double(n_tokens) * (x_bytes + 4.0 * double(matrix.n_rows)),
          double(n_tokens) * double(matrix.n_rows) * double(k), n_sets, [&](int64_t set) {
            args.weights = shape;
            args.weights.data = weights + set * n_bytes;
            lockstep::linear(args, stream_);
          });
}

void Rates::add_rms_norm(int64_t n_tokens) {
  const int64_t dim = shapes_.hidden;
  const std::vector<Subtree> layout{{0, 8}};
  const AddRmsNormArgs args{.add = {.partials = floats({1, n_tokens, dim}),
                                    .layout = layout,
                                    .n_leaves = 8,
                                    .residual = floats({n_tokens, dim})},
                            .weight = floats({dim}),
                            .out = {{}, quantized(n_tokens, dim)}};
  const double n_bytes = double(n_tokens * dim) * (4 + 4 + 4 + 1 + 12.0 / 32) + 4.0 * double(dim);
  measure("add_rms_norm", str(dim, " wide, ", count(n_tokens, "token")), n_bytes, 0, 1,
          [&](int64_t) { lockstep::add_rms_norm(args, stream_); });
}

void Rates::silu_mul(int64_t n_tokens) {
  const int64_t dim = shapes_.ffn;
  const SiluMulArgs args{
      floats({n_tokens, dim}), floats({n_tokens, dim}), {{}, quantized(n_tokens, dim)}};
  measure("silu_mul", str(dim, " wide, ", count(n_tokens, "token")),
          double(n_tokens * dim) * (4 + 4 + 1 + 12.0 / 32), 0, 1,
          [&](int64_t) { lockstep::silu_mul(args, stream_); });
}

void Rates::rope_store(DType kv_dtype, int64_t n_tokens) {
  const int n_heads = shapes_.n_heads, n_kv = shapes_.n_kv_heads, head_dim = shapes_.head_dim;
  std::vector<int32_t> positions, slots;
  for (int64_t t = 0; t < n_tokens; ++t) {
    positions.push_back(static_cast<int32_t>(t));
    slots.push_back(static_cast<int32_t>(t * kBlockSize));  // one per block, as in decoding
  }
  RopeStoreArgs args;
  args.q = floats({n_tokens, n_heads + 2 * n_kv, head_dim});
  args.k = args.v = args.q;
  args.k.data = args.q.row<float>(0) + int64_t{n_heads} * head_dim;
  args.v.data = args.q.row<float>(0) + int64_t{n_heads + n_kv} * head_dim;
  args.q.shape[1] = n_heads;
  args.k.shape[1] = args.v.shape[1] = n_kv;
  args.positions = ints(positions, {n_tokens});
  args.slot_mapping = ints(slots, {n_tokens});
  args.cos_sin = floats({n_tokens, head_dim / 2, 2});
  args.style = RopeStyle::kHalves;
  args.kv = pages(kv_dtype, n_tokens);
  const double kv_bytes = double(args.kv.block_bytes) / kBlockSize;
  measure("rope_store", str(name_of(kv_dtype), ", ", count(n_tokens, "token")),
          double(n_tokens) * (head_dim * (2.0 * n_heads + 2 * n_kv + 1) * 4 + kv_bytes), 0, 1,
          [&](int64_t) { lockstep::rope_store(args, stream_); });
}

void Rates::attention(DType kv_dtype, int64_t n_seqs, int64_t n_keys, int64_t n_rows) {
  const int n_heads = shapes_.n_heads, head_dim = shapes_.head_dim;
  const int64_t blocks_per_seq = n_keys / kBlockSize;
  const int64_t block_bytes = kv_block_bytes(kv_dtype, kBlockSize, shapes_.n_kv_heads, head_dim);
  const int64_t kv_bytes = n_seqs * blocks_per_seq * block_bytes;
  const int64_t n_sets = ceil_div(shapes_.beyond_caches, kv_bytes);
  std::vector<int32_t> tables, positions, seqs;
  for (int64_t i = 0; i < n_sets * n_seqs * blocks_per_seq; ++i) {
    tables.push_back(static_cast<int32_t>(i));
  }
  Random random(2);
  std::shuffle(tables.begin(), tables.end(), random.engine());
  for (int64_t seq = 0; seq < n_seqs; ++seq) {
    for (int64_t row = 0; row < n_rows; ++row) {
      positions.push_back(static_cast<int32_t>(n_keys - n_rows + row));
      seqs.push_back(static_cast<int32_t>(seq));
    }
  }
  const int64_t n_tokens = n_seqs * n_rows;
  AttentionArgs args;
  args.q = floats({n_tokens, n_heads, head_dim});
  args.kv = pages(kv_dtype, n_sets * n_seqs * blocks_per_seq);
  args.positions = ints(positions, {n_tokens});
  args.seq_of_token = ints(seqs, {n_tokens});
  const View table = ints(tables, {n_sets * n_seqs, blocks_per_seq});
  args.scale = static_cast<float>(1 / std::sqrt(double(head_dim)));
  args.out = floats({n_tokens, int64_t{n_heads} * head_dim});
  const double q_bytes = double(n_tokens) * n_heads * head_dim * 8;  // and the output
  measure(str("attention ", name_of(kv_dtype)),
          str(n_seqs, " x ", n_keys, " keys", n_rows > 1 ? str(", ", n_rows, " rows each") : ""),
          double(kv_bytes) + q_bytes,
          double(n_tokens) * n_heads * head_dim * 2 * (double(n_keys) - double(n_rows - 1) / 2),
          n_sets, [&](int64_t set) {
            args.block_tables = view(table.row<int32_t>(set * n_seqs), {n_seqs, blocks_per_seq});
            lockstep::attention(args, stream_);
          });
}

void Rates::sample(int64_t n_rows, bool greedy) {
  const int64_t max_model_len = 512;
  std::vector<SamplingRow> rows(static_cast<size_t>(n_rows));
  for (int64_t i = 0; i < n_rows; ++i) {
    SamplingRow& row = rows[static_cast<size_t>(i)];
    row.temperature = greedy ? 0.0f : 0.8f;
    row.seq_slot = static_cast<int32_t>(i);
    if (greedy) continue;
    row.top_p = 0.95f;
    row.top_k = 40;
    row.repetition_penalty = 1.1f;
    row.n_prompt = 100;
    row.n_known = 400;
  }
  const auto row_bytes = static_cast<int64_t>(rows.size() * sizeof(SamplingRow));
  std::byte* on_device = take(row_bytes);
  gpu_.device().upload(on_device, rows.data(), row_bytes);
  SampleArgs args;
  args.logits = floats({n_rows, shapes_.vocab});
  args.rows = reinterpret_cast<const SamplingRow*>(on_device);
  args.banned = ints({}, {0});
  args.needs = needs_of(rows);
  args.token_ids = ints(std::vector<int32_t>(static_cast<size_t>(n_rows * max_model_len), 7),
                        {n_rows, max_model_len});
  args.ids = ints(std::vector<int32_t>(rows.size()), {n_rows});
  args.logprobs = floats({n_rows});
  args.top_ids = view(reinterpret_cast<int32_t*>(take(n_rows * kMaxTopLogprobs * 4)),
                      {n_rows, kMaxTopLogprobs});
  args.top_logprobs = floats({n_rows, kMaxTopLogprobs});
  args.finite = view(reinterpret_cast<uint8_t*>(take(n_rows)), {n_rows});
  measure("sample",
          str(greedy ? "greedy" : "top-k 40, top-p, penalties", ", ", count(n_rows, "row"), " of ",
              shapes_.vocab),
          4.0 * double(n_rows * shapes_.vocab), 0, 1,
          [&](int64_t) { lockstep::sample(args, stream_); });
}

}  // namespace

// What matters most comes first: a run that is cut short has it.
int measure_rates(const Options& options, const Gpus& gpus, Report& report) {
  FirstGpu gpu(gpus);
  const Shapes shapes = options.sizes == Sizes::kLarge ? real_shapes() : small_shapes();
  Rates rates(gpu, shapes, options.sizes, report);
  const auto unless_late = [&report](const auto& measure) {
    if (!report.out_of_time()) measure();
  };
  const auto linear = [&](WeightType type) {
    for (const Matrix& matrix : shapes.matrices) {
      for (const int64_t n : shapes.n_tokens) {
        unless_late([&] { rates.linear(type, matrix, n); });
      }
    }
  };
  const auto attention = [&](DType dtype) {
    for (const int64_t n_seqs : shapes.n_seqs) {
      for (const int64_t n_keys : shapes.n_keys) {
        unless_late([&] { rates.attention(dtype, n_seqs, n_keys, 1); });
      }
    }
    const int64_t n_rows = std::min<int64_t>(shapes.n_keys.front(), 512);  // of a prompt's chunk
    unless_late([&] { rates.attention(dtype, 1, shapes.n_keys[1], n_rows); });
  };

  linear(shapes.types.front());
  attention(DType::kK16V8);
  for (const Matrix& head : shapes.heads) {
    for (const int64_t n : {1, 64})
      unless_late([&] { rates.linear(shapes.types.front(), head, n); });
  }
  for (const int64_t n : shapes.n_tokens) {
    unless_late([&] { rates.add_rms_norm(n); });
    unless_late([&] { rates.silu_mul(n); });
    unless_late([&] { rates.rope_store(DType::kK16V8, n); });
  }
  for (const int64_t n : {shapes.n_seqs.front(), shapes.n_seqs.back()}) {
    for (const bool greedy : {true, false}) unless_late([&] { rates.sample(n, greedy); });
  }
  attention(DType::kK16V16);
  for (size_t i = 1; i < shapes.types.size(); ++i) linear(shapes.types[i]);
  attention(DType::kF16);
  return report.ended(true, str(rates.n(), " rates measured"));
}

}  // namespace lockstep::gpu_check
