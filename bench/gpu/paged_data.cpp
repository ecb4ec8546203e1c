#include "bench/gpu/paged_data.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "common/units.h"
#include "kernels/reference/kv_slots.h"

namespace lockstep::gpu_check {

const char* name_of(DType dtype) {
  constexpr const char* kNames[] = {"f32", "f16", "bf16", "i32", "u8", "q8_0", "k16v8", "k16v16"};
  return kNames[static_cast<size_t>(dtype)];
}

std::string PagedShape::text() const {
  return std::string(name_of(dtype)) + ", block " + std::to_string(block_size) + ", heads " +
         std::to_string(n_heads()) + "/" + std::to_string(n_kv_heads) + " x " +
         std::to_string(head_dim);
}

PagedData::PagedData(Random& random, const PagedShape& shape, int64_t n_seqs, int64_t max_tokens)
    : shape_(shape),
      n_seqs_(n_seqs),
      blocks_per_seq_(ceil_div(max_tokens, shape.block_size)),
      tables_(static_cast<size_t>(n_seqs * blocks_per_seq_)) {
  std::iota(tables_.begin(), tables_.end(), 1);  // block 0 belongs to no sequence
  std::shuffle(tables_.begin(), tables_.end(), random.engine());
  const KvPages pages = host_pages();
  bytes_.assign(static_cast<size_t>(pages.n_blocks * pages.block_bytes), std::byte{0xff});
}

KvPages PagedData::host_pages() {
  return {.data = bytes_.data(),
          .dtype = shape_.dtype,
          .n_blocks = std::ssize(tables_) + 1,
          .block_bytes =
              kv_block_bytes(shape_.dtype, shape_.block_size, shape_.n_kv_heads, shape_.head_dim),
          .block_size = shape_.block_size,
          .n_kv_heads = shape_.n_kv_heads,
          .head_dim = shape_.head_dim};
}

int32_t PagedData::slot(int64_t seq, int64_t position) const {
  const int32_t block =
      tables_[static_cast<size_t>(seq * blocks_per_seq_ + position / shape_.block_size)];
  return block * shape_.block_size + static_cast<int32_t>(position % shape_.block_size);
}

std::vector<float> values_of(Random& random, Values values, int64_t n) {
  std::vector<float> x = random.activations(n);
  switch (values) {
    case Values::kRandom:
      break;
    case Values::kLargest:  // of one sign more often than not, so that few products cancel
      for (float& v : x) v = random.integer(0, 99) == 0 ? -1.5f : 1.5f;
      break;
    case Values::kSmall:
      for (float& v : x) v = v * 0x1p-94f;
      break;
    case Values::kNan:
      x.back() = std::numeric_limits<float>::quiet_NaN();
      break;
    case Values::kBroken: {
      const auto at = static_cast<size_t>(random.integer(0, n - 1));
      const int64_t kind = random.integer(0, 40);
      if (kind == 0) x[at] = std::numeric_limits<float>::quiet_NaN();
      if (kind == 1) x[at] = -std::numeric_limits<float>::infinity();
      for (float& v : x) v = kind == 2 ? -0.0f : kind == 3 ? v * 0x1p-110f : v;
    }
  }
  return x;
}

void PagedData::fill(Random& random, int64_t seq, int64_t position, Values values) {
  const KvPages pages = host_pages();
  for (int head = 0; head < shape_.n_kv_heads; ++head) {
    const std::vector<float> k = values_of(random, values, shape_.head_dim);
    const std::vector<float> v = values_of(random, values, shape_.head_dim);
    reference::store_slot(pages, slot(seq, position), head, k.data(), v.data());
  }
}

KvPages PagedData::place(Side& side, const char* name) {
  KvPages pages = host_pages();
  pages.data = name != nullptr ? side.out_bytes(name, bytes_) : side.place(bytes_);
  return pages;
}

}  // namespace lockstep::gpu_check
