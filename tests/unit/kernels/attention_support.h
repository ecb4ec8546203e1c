// A paged KV cache that holds sequences, and attention over it. Shared by the tests of attention
// and rope_store.
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/kv_layout.h"
#include "kernels/ops.h"
#include "kernels/reference/kv_slots.h"
#include "tests/support/random.h"

namespace lockstep::testing {

struct AttentionShape {
  DType dtype = DType::kF16;
  int block_size = 16;
  int n_kv_heads = 1;
  int group = 1;  // query heads per KV head
  int head_dim = 64;
  int64_t window = 0;

  int n_heads() const { return n_kv_heads * group; }
  float scale() const { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim))); }
  std::string text() const {
    return "dtype " + std::to_string(static_cast<int>(dtype)) + ", block " +
           std::to_string(block_size) + ", kv heads " + std::to_string(n_kv_heads) + ", group " +
           std::to_string(group) + ", head_dim " + std::to_string(head_dim) + ", window " +
           std::to_string(window);
  }
};

// Pages for several sequences of up to max_tokens each. KV blocks are dealt out of order; every
// byte that is not written is 0xff, which is a NaN in every float type.
class PagedCache {
 public:
  PagedCache(SeededRandom& random, const AttentionShape& shape, int n_seqs, int64_t max_tokens)
      : shape_(shape),
        blocks_per_seq_((max_tokens + shape.block_size - 1) / shape.block_size),
        tables_(static_cast<size_t>(n_seqs * blocks_per_seq_)) {
    pages_.dtype = shape.dtype;
    pages_.n_blocks = n_seqs * blocks_per_seq_ + 1;
    pages_.block_size = shape.block_size;
    pages_.n_kv_heads = shape.n_kv_heads;
    pages_.head_dim = shape.head_dim;
    pages_.block_bytes =
        kv_block_bytes(shape.dtype, shape.block_size, shape.n_kv_heads, shape.head_dim);
    bytes_.assign(static_cast<size_t>(pages_.n_blocks * pages_.block_bytes), std::byte{0xff});
    pages_.data = bytes_.data();
    std::iota(tables_.begin(), tables_.end(), 1);
    std::shuffle(tables_.begin(), tables_.end(), random.engine());
    n_seqs_ = n_seqs;
  }

  const KvPages& pages() const { return pages_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  View tables() { return view(tables_.data(), {n_seqs_, blocks_per_seq_}); }
  // Removes the blocks below `position` from the block table, as if they were freed.
  void drop_blocks_below(int seq, int64_t position) {
    for (int64_t b = 0; (b + 1) * shape_.block_size <= position; ++b) {
      tables_[static_cast<size_t>(seq * blocks_per_seq_ + b)] = -1;
    }
  }
  int64_t slot(int seq, int64_t position) const {
    const int64_t block =
        tables_[static_cast<size_t>(seq * blocks_per_seq_ + position / shape_.block_size)];
    return block * shape_.block_size + position % shape_.block_size;
  }
  // k, v: [n_kv_heads, head_dim]
  void put(int seq, int64_t position, const float* k, const float* v) {
    for (int head = 0; head < shape_.n_kv_heads; ++head) {
      reference::store_slot(pages_, slot(seq, position), head, k + head * shape_.head_dim,
                            v + head * shape_.head_dim);
    }
  }

 private:
  const AttentionShape shape_;
  const int64_t blocks_per_seq_;
  int64_t n_seqs_ = 0;
  std::vector<int32_t> tables_;
  std::vector<std::byte> bytes_;
  KvPages pages_;
};

// K, V and Q of every position of one sequence.
struct SequenceData {
  int64_t n_tokens = 0;
  std::vector<float> k, v;  // [n_tokens, n_kv_heads, head_dim]
  std::vector<float> q;     // [n_tokens, n_heads, head_dim]

  SequenceData(SeededRandom& random, const AttentionShape& shape, int64_t n)
      : n_tokens(n),
        k(random.activations(static_cast<size_t>(n * shape.n_kv_heads * shape.head_dim))),
        v(random.activations(k.size())),
        q(random.activations(static_cast<size_t>(n * shape.n_heads() * shape.head_dim))) {}

  void put_into(PagedCache& cache, const AttentionShape& shape, int seq) const {
    const int64_t stride = int64_t{shape.n_kv_heads} * shape.head_dim;
    for (int64_t t = 0; t < n_tokens; ++t) {
      cache.put(seq, t, k.data() + t * stride, v.data() + t * stride);
    }
  }
};

// The rows of one step: (sequence, position) in order; rows of a sequence are adjacent.
struct StepRows {
  std::vector<int32_t> seqs;
  std::vector<int32_t> positions;
  std::vector<float> q;

  void add(const AttentionShape& shape, const SequenceData& data, int seq, int64_t begin,
           int64_t end) {
    const int64_t stride = int64_t{shape.n_heads()} * shape.head_dim;
    for (int64_t t = begin; t < end; ++t) {
      seqs.push_back(seq);
      positions.push_back(static_cast<int32_t>(t));
    }
    q.insert(q.end(), data.q.begin() + begin * stride, data.q.begin() + end * stride);
  }
};

inline std::vector<float> attend(Stream& stream, const AttentionShape& shape, PagedCache& cache,
                                 StepRows rows) {
  const int64_t n = static_cast<int64_t>(rows.positions.size());
  std::vector<float> out(rows.q.size(), -1.0f);
  AttentionArgs args;
  args.q = view(rows.q.data(), {n, shape.n_heads(), shape.head_dim});
  args.kv = cache.pages();
  args.positions = view(rows.positions.data(), {n});
  args.seq_of_token = view(rows.seqs.data(), {n});
  args.block_tables = cache.tables();
  args.scale = shape.scale();
  args.window = shape.window;
  args.out = view(out.data(), {n, int64_t{shape.n_heads()} * shape.head_dim});
  attention(args, stream);
  return out;
}

}  // namespace lockstep::testing
