// StepPlan: everything that the ranks need to run one step, as one flat buffer without pointers, so
// that it can cross shared memory as it is. The engine thread writes it with StepPlanBuilder; every
// rank reads it through StepPlanView. The digest covers every byte but its own eight; the ranks
// compare it before the first collective of the step.
//
// Layout, in this order; sections of i32 are padded to 8 bytes:
//
//   | header                                                                     |
//   | tokens | positions | seq_of_token | seq_slots | slot_mapping               |
//   | block_tables | copies_from | copies_to                                     |
//   | sample_rows | sample_seq_slots | sample_positions                        |
//   | sampling rows | banned ids                                               |
//   | cached_ids | cached_seq_slots | cached_positions                           |
//   | stores_from | stores_to | store_tags | loads_from | loads_to | load_tags   |
//
// token_ids has a row for each sequence slot: the known tokens of its sequence. Each rank keeps it.
//
// A rank first stores blocks in host memory, then loads blocks from there, then runs the layers; in
// each layer it copies blocks before the rows write their keys and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/ids.h"
#include "common/units.h"
#include "kernels/ops.h"

namespace lockstep {

struct StepPlanHeader {
  static constexpr uint32_t kMagic = 0x50534b4c;  // "LKSP"
  uint32_t magic = kMagic;
  uint32_t n_bytes = 0;
  uint64_t step = 0;
  uint64_t digest = 0;
  int32_t n_tokens = 0;    // rows; a decoding sequence has one
  int32_t n_seqs = 0;      // sequences in this step
  int32_t n_samples = 0;   // rows whose next token is sampled
  int32_t max_blocks = 0;  // columns of the block tables
  int32_t n_banned = 0;    // ids, over all samples, that cannot be sampled before min_tokens
  int32_t n_cached = 0;    // tokens that are not computed, only copied into token_ids
  int32_t n_copies = 0;    // blocks that are copied before the rows write
  int32_t n_stores = 0;    // blocks that are stored in host memory before all else
  int32_t n_loads = 0;     // blocks that are loaded from host memory after that
  int32_t unused = 0;      // in place of padding, whose bytes would not be defined
};

// The most that a plan of this node can hold. Every buffer is sized by it once, at start.
struct StepLimits {
  int32_t max_tokens = 0;   // --max-num-batched-tokens
  int32_t max_seqs = 0;     // --max-num-seqs
  int32_t max_samples = 0;  // = max_seqs, except in teacher-forced tests
  int32_t max_model_len = 0;
  int32_t block_size = 16;
  int32_t max_banned = 0;        // ids, over all samples of a step
  int32_t n_host_kv_blocks = 0;  // blocks of the host tier; 0 = none
  // The most stores, and the most loads, of a step. The tokens of loaded blocks count as cached.
  int32_t max_transfers() const { return n_host_kv_blocks > 0 ? max_blocks_per_seq() : 0; }
  int32_t max_cached_tokens() const { return max_model_len; }  // in one step
  int32_t max_blocks_per_seq() const {
    return static_cast<int32_t>(ceil_div(max_model_len, block_size));
  }
};
size_t step_plan_bytes(const StepLimits& limits);
// The digest that the plan's header must hold.
uint64_t step_plan_digest(std::span<const std::byte> plan);

class StepPlanView {
 public:
  explicit StepPlanView(std::span<const std::byte> bytes);

  std::span<const std::byte> bytes() const { return bytes_; }
  const StepPlanHeader& header() const;
  std::span<const int32_t> tokens() const;        // [n_tokens], -1 = read from token_ids
  std::span<const int32_t> positions() const;     // [n_tokens]
  std::span<const int32_t> seq_of_token() const;  // [n_tokens], ascending; row of block_tables
  std::span<const int32_t> seq_slots() const;     // [n_tokens], row of token_ids
  std::span<const int32_t> slot_mapping() const;  // [n_tokens]
  std::span<const int32_t> block_tables() const;  // [n_seqs, max_blocks], -1 = none
  std::span<const int32_t> copies_from() const;   // [n_copies], block ids
  std::span<const int32_t> copies_to() const;     // [n_copies], block ids
  std::span<const int32_t> sample_rows() const;   // [n_samples], index into tokens
  // Where the sampled ids are written: the seq_slot and n_known of each sampling row.
  std::span<const int32_t> sample_seq_slots() const;  // [n_samples], row of token_ids
  std::span<const int32_t> sample_positions() const;  // [n_samples]
  std::span<const SamplingRow> sampling() const;      // [n_samples]
  std::span<const int32_t> banned() const;
  // Tokens before a chunk that no row computes, because they have keys and values already, and that
  // token_ids lacks: they are copied into token_ids so that penalties see them. They are a cached
  // prefix at an admission, and all tokens before the chunk after a failed step.
  std::span<const int32_t> cached_ids() const;        // [n_cached]
  std::span<const int32_t> cached_seq_slots() const;  // [n_cached], row of token_ids
  std::span<const int32_t> cached_positions() const;  // [n_cached]
  // Blocks stored in host blocks and loaded from them, and tags that identify the content: a load
  // expects what was stored under the same tag.
  std::span<const int32_t> stores_from() const;  // [n_stores], block ids
  std::span<const int32_t> stores_to() const;    // [n_stores], host block ids
  std::span<const uint64_t> store_tags() const;  // [n_stores]
  std::span<const int32_t> loads_from() const;   // [n_loads], host block ids
  std::span<const int32_t> loads_to() const;     // [n_loads], block ids
  std::span<const uint64_t> load_tags() const;   // [n_loads]

 private:
  std::span<const std::byte> bytes_;
};

// Collects one step, then lays it out. Reused; allocates only when constructed.
class StepPlanBuilder {
 public:
  explicit StepPlanBuilder(const StepLimits& limits);

  void begin(uint64_t step);
  // Adds one sequence's chunk: tokens[i] is at position first_position + i. The sequence's block
  // table covers every position of the chunk.
  void add_sequence(int32_t seq_slot, int32_t first_position, std::span<const int32_t> tokens,
                    std::span<const BlockId> block_table);
  // Samples after the last token added. `banned`: ids that must not be sampled.
  void add_sample(const SamplingRow& row, std::span<const int32_t> banned = {});
  // Adds the first tokens of a sequence, which have keys and values already, for token_ids.
  void add_cached(int32_t seq_slot, std::span<const int32_t> tokens);
  // Copies block `from` to block `to`, before the rows write.
  void add_copy(BlockId from, BlockId to);
  // Stores block `from` in host block `to` under this tag, before all else.
  void add_store(BlockId from, HostBlockId to, uint64_t tag);
  // Loads what host block `from` has under this tag into block `to`, after the stores.
  void add_load(HostBlockId from, BlockId to, uint64_t tag);
  int32_t n_tokens() const;
  int32_t n_seqs() const;
  // The finished plan; valid until the next begin().
  std::span<const std::byte> finish();

 private:
  void put_block_tables(size_t at);

  // The sections of the plan; finish() lays them out.
  StepLimits limits_;
  StepPlanHeader header_;
  std::vector<int32_t> tokens_, positions_, seq_of_token_, seq_slots_, slot_mapping_;
  std::vector<int32_t> block_tables_;  // [n_seqs, max_blocks_per_seq]
  std::vector<int32_t> copies_from_, copies_to_;
  std::vector<int32_t> stores_from_, stores_to_, loads_from_, loads_to_;
  std::vector<uint64_t> store_tags_, load_tags_;
  std::vector<int32_t> sample_tokens_, sample_seq_slots_, sample_positions_, banned_;
  std::vector<int32_t> cached_ids_, cached_seq_slots_, cached_positions_;
  std::vector<SamplingRow> sampling_;
  std::vector<std::byte> bytes_;
};

}  // namespace lockstep
