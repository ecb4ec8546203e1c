#include "node/step/step_plan.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "common/check.h"
#include "common/hash64.h"

namespace lockstep {

namespace {

static_assert(std::is_trivially_copyable_v<StepPlanHeader>);
static_assert(std::is_trivially_copyable_v<SamplingRow>);
static_assert(std::has_unique_object_representations_v<StepPlanHeader>);  // it has no padding
static_assert(sizeof(StepPlanHeader) % 8 == 0 && sizeof(SamplingRow) % 8 == 0);

// The byte offset of each section. Only this struct knows their order.
struct Layout {
  explicit Layout(const StepPlanHeader& h) {
    tokens = take(h.n_tokens);
    positions = take(h.n_tokens);
    seq_of_token = take(h.n_tokens);
    seq_slots = take(h.n_tokens);
    slot_mapping = take(h.n_tokens);
    block_tables = take(int64_t{h.n_seqs} * h.max_blocks);
    copies_from = take(h.n_copies);
    copies_to = take(h.n_copies);
    sample_rows = take(h.n_samples);
    sample_seq_slots = take(h.n_samples);
    sample_positions = take(h.n_samples);
    sampling = end;
    end += static_cast<size_t>(h.n_samples) * sizeof(SamplingRow);
    banned = take(h.n_banned);
    cached_ids = take(h.n_cached);
    cached_seq_slots = take(h.n_cached);
    cached_positions = take(h.n_cached);
    stores_from = take(h.n_stores);
    stores_to = take(h.n_stores);
    store_tags = take(2 * int64_t{h.n_stores});
    loads_from = take(h.n_loads);
    loads_to = take(h.n_loads);
    load_tags = take(2 * int64_t{h.n_loads});
  }

  // Takes a section of n i32, padded to 8 bytes, so that the sampling rows and tags are aligned.
  size_t take(int64_t n) {
    const size_t at = end;
    end += static_cast<size_t>(round_up(n * 4, 8));
    return at;
  }

  size_t end = sizeof(StepPlanHeader);
  size_t tokens, positions, seq_of_token, seq_slots, slot_mapping;
  size_t block_tables, copies_from, copies_to;
  size_t sample_rows, sample_seq_slots, sample_positions, sampling, banned;
  size_t cached_ids, cached_seq_slots, cached_positions;
  size_t stores_from, stores_to, store_tags, loads_from, loads_to, load_tags;
};

template <class T>
std::span<const T> section(std::span<const std::byte> bytes, size_t at, int64_t n) {
  CHECK(at + static_cast<size_t>(n) * sizeof(T) <= bytes.size());
  return {reinterpret_cast<const T*>(bytes.data() + at), static_cast<size_t>(n)};
}

template <class T>
void put(std::vector<std::byte>& bytes, size_t at, const std::vector<T>& values) {
  if (!values.empty()) std::memcpy(bytes.data() + at, values.data(), values.size() * sizeof(T));
}

}  // namespace

size_t step_plan_bytes(const StepLimits& limits) {
  StepPlanHeader header;
  header.n_tokens = limits.max_tokens;
  header.n_seqs = limits.max_seqs;
  header.n_samples = limits.max_samples;
  header.max_blocks = limits.max_blocks_per_seq();
  header.n_banned = limits.max_banned;
  header.n_cached = limits.max_cached_tokens();
  header.n_copies = limits.max_seqs;
  header.n_stores = header.n_loads = limits.max_transfers();
  return Layout(header).end;
}

// Not for hostile input: the digest tells plans apart that differ by a bug or a fault.
uint64_t step_plan_digest(std::span<const std::byte> plan) {
  StepPlanHeader header;
  CHECK(plan.size() >= sizeof(header));
  std::memcpy(&header, plan.data(), sizeof(header));
  header.digest = 0;
  return hash64(plan.subspan(sizeof(header)), hash64(std::as_bytes(std::span(&header, 1)), 0));
}

StepPlanView::StepPlanView(std::span<const std::byte> bytes) : bytes_(bytes) {
  CHECK(bytes.size() >= sizeof(StepPlanHeader));
  CHECK_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % alignof(StepPlanHeader), 0u);
  CHECK_EQ(header().magic, StepPlanHeader::kMagic);
  CHECK_EQ(header().n_bytes, bytes.size());
  CHECK_EQ(Layout(header()).end, bytes.size());
}

const StepPlanHeader& StepPlanView::header() const {
  return *reinterpret_cast<const StepPlanHeader*>(bytes_.data());
}
std::span<const int32_t> StepPlanView::tokens() const {
  return section<int32_t>(bytes_, Layout(header()).tokens, header().n_tokens);
}
std::span<const int32_t> StepPlanView::positions() const {
  return section<int32_t>(bytes_, Layout(header()).positions, header().n_tokens);
}
std::span<const int32_t> StepPlanView::seq_of_token() const {
  return section<int32_t>(bytes_, Layout(header()).seq_of_token, header().n_tokens);
}
std::span<const int32_t> StepPlanView::seq_slots() const {
  return section<int32_t>(bytes_, Layout(header()).seq_slots, header().n_tokens);
}
std::span<const int32_t> StepPlanView::slot_mapping() const {
  return section<int32_t>(bytes_, Layout(header()).slot_mapping, header().n_tokens);
}
std::span<const int32_t> StepPlanView::block_tables() const {
  return section<int32_t>(bytes_, Layout(header()).block_tables,
                          int64_t{header().n_seqs} * header().max_blocks);
}
std::span<const int32_t> StepPlanView::copies_from() const {
  return section<int32_t>(bytes_, Layout(header()).copies_from, header().n_copies);
}
std::span<const int32_t> StepPlanView::copies_to() const {
  return section<int32_t>(bytes_, Layout(header()).copies_to, header().n_copies);
}
std::span<const int32_t> StepPlanView::sample_rows() const {
  return section<int32_t>(bytes_, Layout(header()).sample_rows, header().n_samples);
}
std::span<const int32_t> StepPlanView::sample_seq_slots() const {
  return section<int32_t>(bytes_, Layout(header()).sample_seq_slots, header().n_samples);
}
std::span<const int32_t> StepPlanView::sample_positions() const {
  return section<int32_t>(bytes_, Layout(header()).sample_positions, header().n_samples);
}
std::span<const SamplingRow> StepPlanView::sampling() const {
  return section<SamplingRow>(bytes_, Layout(header()).sampling, header().n_samples);
}
std::span<const int32_t> StepPlanView::banned() const {
  return section<int32_t>(bytes_, Layout(header()).banned, header().n_banned);
}

std::span<const int32_t> StepPlanView::cached_ids() const {
  return section<int32_t>(bytes_, Layout(header()).cached_ids, header().n_cached);
}
std::span<const int32_t> StepPlanView::cached_seq_slots() const {
  return section<int32_t>(bytes_, Layout(header()).cached_seq_slots, header().n_cached);
}
std::span<const int32_t> StepPlanView::cached_positions() const {
  return section<int32_t>(bytes_, Layout(header()).cached_positions, header().n_cached);
}

std::span<const int32_t> StepPlanView::stores_from() const {
  return section<int32_t>(bytes_, Layout(header()).stores_from, header().n_stores);
}
std::span<const int32_t> StepPlanView::stores_to() const {
  return section<int32_t>(bytes_, Layout(header()).stores_to, header().n_stores);
}
std::span<const uint64_t> StepPlanView::store_tags() const {
  return section<uint64_t>(bytes_, Layout(header()).store_tags, header().n_stores);
}
std::span<const int32_t> StepPlanView::loads_from() const {
  return section<int32_t>(bytes_, Layout(header()).loads_from, header().n_loads);
}
std::span<const int32_t> StepPlanView::loads_to() const {
  return section<int32_t>(bytes_, Layout(header()).loads_to, header().n_loads);
}
std::span<const uint64_t> StepPlanView::load_tags() const {
  return section<uint64_t>(bytes_, Layout(header()).load_tags, header().n_loads);
}

StepPlanBuilder::StepPlanBuilder(const StepLimits& limits) : limits_(limits) {
  for (auto* list : {&tokens_, &positions_, &seq_of_token_, &seq_slots_, &slot_mapping_}) {
    list->reserve(static_cast<size_t>(limits.max_tokens));
  }
  const auto max_seqs = static_cast<size_t>(limits.max_seqs);
  block_tables_.reserve(max_seqs * static_cast<size_t>(limits.max_blocks_per_seq()));
  for (auto* list : {&copies_from_, &copies_to_}) list->reserve(max_seqs);
  for (auto* list : {&sample_tokens_, &sample_seq_slots_, &sample_positions_}) {
    list->reserve(static_cast<size_t>(limits.max_samples));
  }
  sampling_.reserve(static_cast<size_t>(limits.max_samples));
  banned_.reserve(static_cast<size_t>(limits.max_banned));
  for (auto* list : {&cached_ids_, &cached_seq_slots_, &cached_positions_}) {
    list->reserve(static_cast<size_t>(limits.max_cached_tokens()));
  }
  const auto n_transfers = static_cast<size_t>(limits.max_transfers());
  for (auto* list : {&stores_from_, &stores_to_, &loads_from_, &loads_to_}) {
    list->reserve(n_transfers);
  }
  for (auto* list : {&store_tags_, &load_tags_}) list->reserve(n_transfers);
  bytes_.reserve(step_plan_bytes(limits));
}

void StepPlanBuilder::begin(uint64_t step) {
  header_ = {};
  header_.step = step;
  for (auto* list :
       {&tokens_, &positions_, &seq_of_token_, &seq_slots_, &slot_mapping_, &block_tables_,
        &copies_from_, &copies_to_, &sample_tokens_, &sample_seq_slots_, &sample_positions_,
        &banned_, &cached_ids_, &cached_seq_slots_, &cached_positions_, &stores_from_, &stores_to_,
        &loads_from_, &loads_to_}) {
    list->clear();
  }
  for (auto* list : {&store_tags_, &load_tags_}) list->clear();
  sampling_.clear();
}

void StepPlanBuilder::add_sequence(int32_t seq_slot, int32_t first_position,
                                   std::span<const int32_t> tokens,
                                   std::span<const BlockId> block_table) {
  const auto n = static_cast<int32_t>(tokens.size());
  CHECK(n >= 1 && n_tokens() + n <= limits_.max_tokens && n_seqs() < limits_.max_seqs);
  CHECK(first_position >= 0 && first_position + n <= limits_.max_model_len);
  CHECK(seq_slot >= 0 && seq_slot < limits_.max_seqs);
  const auto n_blocks = static_cast<int32_t>(ceil_div(first_position + n, limits_.block_size));
  CHECK(block_table.size() >= static_cast<size_t>(n_blocks));

  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  for (int32_t i = 0; i < n; ++i) {
    const int32_t position = first_position + i;
    const int32_t block = raw(block_table[static_cast<size_t>(position / limits_.block_size)]);
    CHECK(block >= 0);
    positions_.push_back(position);
    seq_of_token_.push_back(header_.n_seqs);
    seq_slots_.push_back(seq_slot);
    slot_mapping_.push_back(block * limits_.block_size + position % limits_.block_size);
  }
  // Rows keep their full width until finish() knows the width that this step needs.
  const size_t row_end = block_tables_.size() + static_cast<size_t>(limits_.max_blocks_per_seq());
  for (BlockId block : block_table.first(static_cast<size_t>(n_blocks))) {
    block_tables_.push_back(raw(block));
  }
  block_tables_.resize(row_end, -1);
  header_.max_blocks = std::max(header_.max_blocks, n_blocks);
  header_.n_tokens += n;
  ++header_.n_seqs;
}

void StepPlanBuilder::add_sample(const SamplingRow& row, std::span<const int32_t> banned) {
  CHECK(n_tokens() >= 1 && header_.n_samples < limits_.max_samples);
  CHECK(banned_.size() + banned.size() <= static_cast<size_t>(limits_.max_banned));
  sample_tokens_.push_back(n_tokens() - 1);
  sample_seq_slots_.push_back(row.seq_slot);
  sample_positions_.push_back(row.n_known);
  sampling_.push_back(row);
  sampling_.back().banned_first = static_cast<int32_t>(banned_.size());
  sampling_.back().n_banned = static_cast<int32_t>(banned.size());
  banned_.insert(banned_.end(), banned.begin(), banned.end());
  ++header_.n_samples;
}

void StepPlanBuilder::add_cached(int32_t seq_slot, std::span<const int32_t> tokens) {
  CHECK(seq_slot >= 0 && seq_slot < limits_.max_seqs);
  CHECK(cached_ids_.size() + tokens.size() <= static_cast<size_t>(limits_.max_cached_tokens()));
  cached_ids_.insert(cached_ids_.end(), tokens.begin(), tokens.end());
  for (size_t i = 0; i < tokens.size(); ++i) {
    cached_seq_slots_.push_back(seq_slot);
    cached_positions_.push_back(static_cast<int32_t>(i));
  }
}

void StepPlanBuilder::add_copy(BlockId from, BlockId to) {
  CHECK(header_.n_copies < limits_.max_seqs);
  copies_from_.push_back(raw(from));
  copies_to_.push_back(raw(to));
  ++header_.n_copies;
}

void StepPlanBuilder::add_store(BlockId from, HostBlockId to, uint64_t tag) {
  CHECK(header_.n_stores < limits_.max_transfers());
  stores_from_.push_back(raw(from));
  stores_to_.push_back(raw(to));
  store_tags_.push_back(tag);
  ++header_.n_stores;
}

void StepPlanBuilder::add_load(HostBlockId from, BlockId to, uint64_t tag) {
  CHECK(header_.n_loads < limits_.max_transfers());
  loads_from_.push_back(raw(from));
  loads_to_.push_back(raw(to));
  load_tags_.push_back(tag);
  ++header_.n_loads;
}

int32_t StepPlanBuilder::n_tokens() const { return header_.n_tokens; }
int32_t StepPlanBuilder::n_seqs() const { return header_.n_seqs; }

std::span<const std::byte> StepPlanBuilder::finish() {
  header_.n_banned = static_cast<int32_t>(banned_.size());
  header_.n_cached = static_cast<int32_t>(cached_ids_.size());
  const Layout layout(header_);
  header_.n_bytes = static_cast<uint32_t>(layout.end);
  header_.digest = 0;
  bytes_.assign(layout.end, std::byte{0});  // the padding between sections is part of the digest
  put(bytes_, layout.tokens, tokens_);
  put(bytes_, layout.positions, positions_);
  put(bytes_, layout.seq_of_token, seq_of_token_);
  put(bytes_, layout.seq_slots, seq_slots_);
  put(bytes_, layout.slot_mapping, slot_mapping_);
  put_block_tables(layout.block_tables);
  put(bytes_, layout.copies_from, copies_from_);
  put(bytes_, layout.copies_to, copies_to_);
  put(bytes_, layout.sample_rows, sample_tokens_);
  put(bytes_, layout.sample_seq_slots, sample_seq_slots_);
  put(bytes_, layout.sample_positions, sample_positions_);
  put(bytes_, layout.sampling, sampling_);
  put(bytes_, layout.banned, banned_);
  put(bytes_, layout.cached_ids, cached_ids_);
  put(bytes_, layout.cached_seq_slots, cached_seq_slots_);
  put(bytes_, layout.cached_positions, cached_positions_);
  put(bytes_, layout.stores_from, stores_from_);
  put(bytes_, layout.stores_to, stores_to_);
  put(bytes_, layout.store_tags, store_tags_);
  put(bytes_, layout.loads_from, loads_from_);
  put(bytes_, layout.loads_to, loads_to_);
  put(bytes_, layout.load_tags, load_tags_);
  std::memcpy(bytes_.data(), &header_, sizeof(header_));
  header_.digest = step_plan_digest(bytes_);
  std::memcpy(bytes_.data(), &header_, sizeof(header_));
  return bytes_;
}

// Copies the first max_blocks columns of each row.
void StepPlanBuilder::put_block_tables(size_t at) {
  const auto width = static_cast<size_t>(limits_.max_blocks_per_seq());
  const size_t row_bytes = static_cast<size_t>(header_.max_blocks) * sizeof(int32_t);
  for (size_t s = 0; s < static_cast<size_t>(header_.n_seqs); ++s) {
    std::memcpy(bytes_.data() + at + s * row_bytes, block_tables_.data() + s * width, row_bytes);
  }
}

}  // namespace lockstep
