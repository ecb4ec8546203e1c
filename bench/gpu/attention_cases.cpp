#include <cmath>

#include "bench/gpu/bit_cases.h"
#include "bench/gpu/paged_data.h"

namespace lockstep::gpu_check {
namespace {

// Rows [first, end) of one sequence.
struct Chunk {
  int64_t first, end;
};

struct AttentionCase {
  uint64_t seed;
  PagedShape shape;
  std::vector<Chunk> chunks;  // one per sequence
  int64_t window = 0;
  Values values = Values::kRandom;
  int64_t nan_from = INT64_MAX;  // keys and values from this position on are NaN

  std::string text() const {
    std::string text = shape.text() + ", positions";
    for (const Chunk& c : chunks) {
      text += " " + std::to_string(c.first) + "-" + std::to_string(c.end - 1);
    }
    return text + (window > 0 ? ", window " + std::to_string(window) : "") +
           (values == Values::kLargest ? ", largest sums" : "") +
           (values == Values::kBroken ? ", broken values" : "") +
           (values == Values::kSmall ? ", small values" : "") +
           (nan_from < INT64_MAX ? ", NaN from " + std::to_string(nan_from) : "");
  }
};

std::vector<Output> run(const AttentionCase& c, Side& side) {
  Random random(c.seed);
  const PagedShape& s = c.shape;
  int64_t n_rows = 0, max_tokens = 0;
  for (const Chunk& chunk : c.chunks) {
    n_rows += chunk.end - chunk.first;
    max_tokens = std::max(max_tokens, chunk.end);
  }
  PagedData cache(random, s, std::ssize(c.chunks), max_tokens);
  std::vector<int32_t> positions, seqs;
  for (int64_t seq = 0; seq < std::ssize(c.chunks); ++seq) {
    const Chunk& chunk = c.chunks[static_cast<size_t>(seq)];
    for (int64_t t = 0; t < chunk.end; ++t)
      cache.fill(random, seq, t, t < c.nan_from ? c.values : Values::kNan);
    for (int64_t t = chunk.first; t < chunk.end; ++t) {
      positions.push_back(static_cast<int32_t>(t));
      seqs.push_back(static_cast<int32_t>(seq));
    }
  }
  const int64_t q_dim = int64_t{s.n_heads()} * s.head_dim;
  const int64_t stride = q_dim + 8;  // as a slice of a wider row
  std::vector<float> q = random.activations(n_rows * stride);
  if (c.values == Values::kLargest) q = values_of(random, c.values, n_rows * stride);
  std::vector<float> out(static_cast<size_t>(n_rows * q_dim), -1.0f);

  AttentionArgs args;
  args.q = view(side.place(q), {n_rows, s.n_heads(), s.head_dim});
  args.q.row_stride = stride;
  args.kv = cache.place(side);
  args.positions = side.in(positions, {n_rows});
  args.seq_of_token = side.in(seqs, {n_rows});
  args.block_tables = cache.place_tables(side);
  args.scale = static_cast<float>(1.0 / std::sqrt(double(s.head_dim)));
  args.window = c.window;
  args.out = side.out("out", out, {n_rows, q_dim});
  attention(args, side.stream());
  return side.outputs();
}

}  // namespace

std::vector<BitCase> attention_cases(Sizes sizes) {
  std::vector<AttentionCase> cases;
  uint64_t seed = 1;
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kK16V8, DType::kK16V16}) {
    cases.push_back({seed++, {dtype, 16, 2, 3, 64}, {{70, 71}, {0, 1}, {199, 200}}});
    cases.push_back({seed++, {dtype, 32, 1, 1, 96}, {{60, 67}}});
    cases.push_back({seed++, {dtype, 16, 1, 5, 32}, {{150, 151}, {10, 12}}, 40});
    if (dtype == DType::kQ8_0) continue;
    cases.push_back({seed++, {dtype, 5, 1, 2, 18}, {{0, 3}, {64, 65}}});
    cases.push_back({seed++, {dtype, 8, 2, 1, 80}, {{130, 131}}, 64});
  }
  for (const DType dtype : {DType::kF16, DType::kK16V8, DType::kK16V16}) {
    cases.push_back({seed++, {dtype, 16, 1, 1, 256}, {{65, 66}}});
    cases.push_back({seed++, {dtype, 64, 1, 2, 32}, {{2100, 2101}}});       // 5 spans
    cases.push_back({seed++, {dtype, 64, 1, 1, 32}, {{1150, 1151}}, 600});  // begins inside a span
    cases.push_back({seed++, {dtype, 16, 1, 20, 32}, {{5, 6}}});     // more heads than a CUDA block
    cases.push_back({seed++, {dtype, 16, 1, 4, 64}, {{510, 515}}});  // rows end in different spans
    cases.push_back({seed++, {dtype, 16, 2, 2, 64}, {{140, 142}, {90, 91}}, 0, Values::kBroken});
    cases.push_back({seed++, {dtype, 16, 1, 1, 32}, {{66, 67}}, 0, Values::kSmall});
    cases.push_back({seed++, {dtype, 16, 1, 2, 32}, {{60, 70}}, 0, Values::kRandom, 65});
  }
  cases.push_back(
      {seed++, {DType::kF16, 64, 1, 2, 32}, {{16450, 16451}}});  // more spans than lanes
  for (const DType dtype : {DType::kK16V8, DType::kK16V16}) {
    cases.push_back({seed++, {dtype, 16, 1, 1, 128}, {{127, 128}}, 0, Values::kLargest});
    cases.push_back({seed++, {dtype, 16, 1, 4, 32}, {{3, 11}, {70, 74}, {0, 1}}});  // mixed step
  }
  if (sizes == Sizes::kLarge) {
    cases.push_back({seed++, {DType::kF16, 16, 8, 4, 128}, {{3999, 4000}, {17, 18}, {1023, 1024}}});
    cases.push_back({seed++, {DType::kF16, 16, 3, 3, 64}, {{0, 300}}});
    cases.push_back({seed++, {DType::kQ8_0, 16, 8, 4, 128}, {{2000, 2001}}});
    cases.push_back({seed++, {DType::kBF16, 16, 2, 6, 128}, {{500, 520}, {40, 41}}, 256});
    for (const DType dtype : {DType::kK16V8, DType::kK16V16}) {
      cases.push_back({seed++, {dtype, 16, 8, 4, 128}, {{3999, 4000}, {17, 18}, {1023, 1280}}});
      cases.push_back({seed++, {dtype, 16, 2, 6, 128}, {{700, 1000}}, 256});
      cases.push_back({seed++, {dtype, 16, 1, 1, 256}, {{8000, 8001}}, 0, Values::kLargest});
    }
  }
  std::vector<BitCase> list;
  for (const AttentionCase& c : cases) {
    list.push_back({"attention", c.text(), [c](Side& side) { return run(c, side); }});
  }
  return list;
}

}  // namespace lockstep::gpu_check
