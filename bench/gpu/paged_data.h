// A paged KV cache of several sequences on the host. KV blocks are dealt out of order; every byte
// that is not written is 0xff (a NaN in every float type). For the rope_store and attention cases.
#pragma once

#include <string>
#include <vector>

#include "bench/gpu/side.h"
#include "kernels/kv_layout.h"

namespace lockstep::gpu_check {

const char* name_of(DType dtype);  // "f16"

struct PagedShape {
  DType dtype = DType::kF16;
  int block_size = 16;
  int n_kv_heads = 1;
  int group = 1;  // query heads per KV head
  int head_dim = 64;

  int n_heads() const { return n_kv_heads * group; }
  std::string text() const;
};

enum class Values {
  kRandom,
  kLargest,  // all of one magnitude, which gives the largest sums of whole numbers
  kSmall,    // so small that no weight of a whole-number value has a scale
  kNan,
  kBroken,  // NaN, Inf, zeros and values too small for a scale among random ones
};
std::vector<float> values_of(Random& random, Values values, int64_t n);

class PagedData {
 public:
  PagedData(Random& random, const PagedShape& shape, int64_t n_seqs, int64_t max_tokens);

  // The slot of a position of a sequence: block id * block size + offset.
  int32_t slot(int64_t seq, int64_t position) const;
  // Writes K and V to every head of one position.
  void fill(Random& random, int64_t seq, int64_t position, Values values = Values::kRandom);

  // Places the pages. With a `name` they are an output of the case.
  KvPages place(Side& side, const char* name = nullptr);
  View place_tables(Side& side) { return side.in(tables_, {n_seqs_, blocks_per_seq_}); }

 private:
  KvPages host_pages();

  const PagedShape shape_;
  const int64_t n_seqs_;
  const int64_t blocks_per_seq_;
  std::vector<int32_t> tables_;
  std::vector<std::byte> bytes_;
};

}  // namespace lockstep::gpu_check
