#include <cmath>

#include "bench/gpu/bit_cases.h"
#include "bench/gpu/paged_data.h"

namespace lockstep::gpu_check {
namespace {

constexpr int64_t kMaxPositions = 50;
constexpr int64_t kFirstPosition = 7;

struct RopeCase {
  uint64_t seed;
  PagedShape shape;
  RopeStyle style;
  int64_t n_rot, n_tokens;
  Values values = Values::kRandom;

  std::string text() const {
    return shape.text() + (style == RopeStyle::kHalves ? ", halves " : ", neighbours ") +
           std::to_string(n_rot) + ", " + std::to_string(n_tokens) + " tokens" +
           (values == Values::kBroken ? ", broken values" : "");
  }
};

std::vector<float> angles(int64_t n_rot) {
  std::vector<float> cos_sin;
  for (int64_t position = 0; position < kMaxPositions; ++position) {
    for (int64_t i = 0; i < n_rot / 2; ++i) {
      const double angle = double(position) * std::pow(10000.0, -2.0 * double(i) / double(n_rot));
      cos_sin.push_back(static_cast<float>(std::cos(angle)));
      cos_sin.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return cos_sin;
}

std::vector<Output> run(const RopeCase& c, Side& side) {
  Random random(c.seed);
  const PagedShape& s = c.shape;
  const int64_t q_dim = int64_t{s.n_heads()} * s.head_dim;
  const int64_t kv_dim = int64_t{s.n_kv_heads} * s.head_dim;
  const int64_t stride = q_dim + 2 * kv_dim;
  std::vector<float> qkv = random.activations(c.n_tokens * stride);
  if (c.values == Values::kBroken) {
    qkv.clear();
    for (int64_t i = 0; i < c.n_tokens * stride / s.head_dim; ++i) {
      const std::vector<float> head = values_of(random, c.values, s.head_dim);
      qkv.insert(qkv.end(), head.begin(), head.end());
    }
  }
  PagedData cache(random, s, 1, kFirstPosition + c.n_tokens);
  std::vector<int32_t> positions, slots;
  for (int64_t t = 0; t < c.n_tokens; ++t) {
    positions.push_back(static_cast<int32_t>(kFirstPosition + t));
    slots.push_back(cache.slot(0, kFirstPosition + t));
  }
  std::vector<float> cos_sin = angles(c.n_rot);

  RopeStoreArgs args;
  float* placed = side.out("qkv", qkv, {c.n_tokens, stride}).row<float>(0);
  args.q = view(placed, {c.n_tokens, s.n_heads(), s.head_dim});
  args.k = view(placed + q_dim, {c.n_tokens, s.n_kv_heads, s.head_dim});
  args.v = view(placed + q_dim + kv_dim, {c.n_tokens, s.n_kv_heads, s.head_dim});
  args.q.row_stride = args.k.row_stride = args.v.row_stride = stride;
  args.positions = side.in(positions, {c.n_tokens});
  args.slot_mapping = side.in(slots, {c.n_tokens});
  args.cos_sin = side.in(cos_sin, {kMaxPositions, c.n_rot / 2, 2});
  args.style = c.style;
  args.kv = cache.place(side, "pages");
  rope_store(args, side.stream());
  return side.outputs();
}

}  // namespace

std::vector<BitCase> rope_cases(Sizes sizes) {
  std::vector<RopeCase> cases;
  uint64_t seed = 1;
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kK16V8, DType::kK16V16}) {
    for (const RopeStyle style : {RopeStyle::kNeighbours, RopeStyle::kHalves}) {
      cases.push_back({seed++, {dtype, 16, 3, 3, 64}, style, 64, 5});
      cases.push_back({seed++, {dtype, 1, 1, 2, 96}, style, 40, 3});
      cases.push_back({seed++, {dtype, 32, 2, 1, 32}, style, 6, 4});
      if (dtype != DType::kQ8_0) {
        cases.push_back({seed++, {dtype, 5, 1, 1, 18}, style, 18, 6});
        cases.push_back({seed++, {dtype, 8, 2, 1, 80}, style, 80, 3});
      }
      if (is_whole_number_kv(dtype) || dtype == DType::kQ8_0) {
        cases.push_back({seed++, {dtype, 16, 6, 1, 256}, style, 64, 9, Values::kBroken});
      }
      if (sizes == Sizes::kLarge) {
        cases.push_back({seed++, {dtype, 16, 8, 4, 128}, style, 128, 40});
      }
    }
  }
  std::vector<BitCase> list;
  for (const RopeCase& c : cases) {
    list.push_back({"rope_store", c.text(), [c](Side& side) { return run(c, side); }});
  }
  return list;
}

}  // namespace lockstep::gpu_check
