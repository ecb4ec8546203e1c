// NullExecutor: a model without weights behind the Executor interface. It has KV blocks in which
// each slot holds a token and its position, and the token_ids of each sequence. It runs a plan as
// ranks do: it copies blocks, resolves tokens and stores them; then, for every sampled row, it
// reads the whole sequence back through the block table. The next token is a hash of the tokens
// read, the seed, the choice and the output index. A wrong slot, position, block table or
// token_ids, or a block that is freed too early, therefore changes the tokens. Impossible plans are
// gtest failures.
//
// Faults are triggered by prompt tokens, so that they follow a request wherever it is scheduled.
// Calls come from one thread (the engine's); hold(), release() and the counters may be used on any
// thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/fault_points.h"
#include "node/step/executor.h"
#include "node/step/step_plan.h"

namespace lockstep::testing {

class NullExecutor final : public Executor {
 public:
  struct Options {
    StepLimits limits;
    int32_t n_kv_blocks = 0;
    int32_t n_host_blocks = 0;
    int32_t vocab_size = 0;
    int depth = 1;              // max_steps_in_flight()
    int32_t poison_token = -1;  // a sequence with this token has non-finite logits
    // Rows of this token store non-finite keys and values; the logits stay finite.
    int32_t unsound_token = -1;
    int32_t breaking_token = -1;  // a step with this input token fails; never sampled
    uint64_t fail_step = 0;       // the step with this number fails
    StepStatus fail_status = StepStatus::kRankFailed;  // status of failed steps
    int32_t fixed_token = -1;                          // every sampled token, instead of a hash
    // Tokens by output index that are sampled instead of a hash; fixed_token or a hash follows.
    std::vector<int32_t> script = {};
  };

  explicit NullExecutor(Options options) : options_(std::move(options)) {
    const StepLimits& limits = options_.limits;
    pages_.resize(static_cast<size_t>(options_.n_kv_blocks * limits.block_size));
    writers_.resize(static_cast<size_t>(options_.n_kv_blocks));
    host_.resize(static_cast<size_t>(options_.n_host_blocks));
    token_ids_.resize(static_cast<size_t>(limits.max_seqs * (limits.max_model_len + 1)), -1);
    plans_.resize(static_cast<size_t>(options_.depth));
    for (auto& plan : plans_) plan.resize(step_plan_bytes(limits));
    tokens_.resize(static_cast<size_t>(limits.max_tokens));
    is_broken_.resize(static_cast<size_t>(limits.max_seqs));
    context_.reserve(static_cast<size_t>(limits.max_model_len));
  }

  void submit(std::span<const std::byte> plan) override {
    ASSERT_LT(n_unanswered_, options_.depth);
    const StepPlanView view(plan);
    EXPECT_EQ(view.header().digest, step_plan_digest(plan));
    check_no_other_sequence_reads_what_it_writes(view);
    Plan& copy = plans_[n_submitted_ % plans_.size()];
    std::memcpy(copy.data(), plan.data(), plan.size());
    ++n_submitted_;
    ++n_unanswered_;
    if (on_submit) on_submit(view);
  }

  int max_steps_in_flight() const override { return options_.depth; }
  void fill_with_nan(std::span<const BlockId> blocks) override {
    if (on_fill_with_nan) on_fill_with_nan(blocks);
  }

  void wait_result(StepResult& result) override {
    ASSERT_GT(n_unanswered_, 0);
    wait_while_held();
    const uint64_t number = n_submitted_ - static_cast<uint64_t>(n_unanswered_);
    if (fails_before_rotten_load && n_unanswered_ > 1 && loads_rotten_block(plan_of(number + 1))) {
      fail_next_step = true;
    }
    run(plan_of(number), result);
    --n_unanswered_;
  }

  // While held, no step finishes.
  void hold() {
    std::lock_guard lock(mutex_);
    is_held_ = true;
  }
  void release() {
    {
      std::lock_guard lock(mutex_);
      is_held_ = is_stalled_ = false;
    }
    changed_.notify_all();
  }
  // Waits until the engine thread is held in wait_result().
  void wait_until_stalled() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_stalled_; });
  }
  // Grows only when the test changes n_progress.
  uint64_t progress() const override { return n_progress; }
  std::atomic<uint64_t> n_progress{0};
  bool has_unanswered() const { return n_unanswered_ > 0; }

  // Returns the id that follows `context`, whose first n_prompt tokens are the prompt, if no token
  // is banned.
  int32_t next_id(std::span<const int32_t> context, int32_t n_prompt,
                  const SamplingRow& row) const {
    return pick(hash_of(context, n_prompt, row), row, {});
  }
  // Returns true if the slot holds this token at this position.
  bool holds(BlockId block, int32_t offset, int32_t token, int32_t position) const {
    const KvSlot& slot =
        pages_.at(static_cast<size_t>(raw(block) * options_.limits.block_size + offset));
    return slot.token == token && slot.position == position;
  }
  bool fail_next_step = false;  // the next step that runs fails
  // A step fails if the next one, which loads rotten host blocks, is in flight as well.
  bool fails_before_rotten_load = false;

  // Called with every plan, on the engine's thread.
  std::function<void(const StepPlanView&)> on_submit;
  std::function<void(std::span<const BlockId>)> on_fill_with_nan;
  std::set<int32_t> rotten_host_blocks;  // blocks whose content does not match their checksum

 private:
  using Plan = std::vector<std::byte>;
  struct KvSlot {
    int32_t token = -1;
    int32_t position = -1;
  };

  struct HostBlock {
    uint64_t tag = 0;
    std::vector<KvSlot> content;  // [block_size]
  };

  StepPlanView plan_of(uint64_t number) const {
    const Plan& plan = plans_[number % plans_.size()];
    const auto& header = *reinterpret_cast<const StepPlanHeader*>(plan.data());
    return StepPlanView(std::span(plan).first(header.n_bytes));
  }

  void wait_while_held() {
    std::unique_lock lock(mutex_);
    is_stalled_ = is_held_;
    if (is_stalled_) changed_.notify_all();
    changed_.wait(lock, [this] { return !is_held_; });
  }

  int32_t& history(int32_t slot, int32_t position) {
    const size_t width = static_cast<size_t>(options_.limits.max_model_len) + 1;
    return token_ids_.at(static_cast<size_t>(slot) * width + static_cast<size_t>(position));
  }

  void run(const StepPlanView& plan, StepResult& result) {
    const StepPlanHeader& header = plan.header();
    result.step = header.step;
    result.status = StepStatus::kOk;
    result.message.clear();
    result.bad_host_blocks.clear();
    result.n_samples = header.n_samples;
    const auto tokens = plan.tokens();
    const bool breaks =
        options_.breaking_token >= 0 &&
        std::find(tokens.begin(), tokens.end(), options_.breaking_token) != tokens.end();
    if (breaks || header.step == options_.fail_step || std::exchange(fail_next_step, false) ||
        fault(Fault::kRankThrows, header.step)) {
      result.status = options_.fail_status;
      result.message = "rank 1 threw in linear";
      set_broken(plan, true);
      return;
    }
    store_in_host(plan);
    if (!load_from_host(plan, result)) {
      set_broken(plan, true);
      return;
    }
    set_broken(plan, false);
    copy_blocks(plan);
    resolve_and_store(plan);
    check_stored(plan, result);
    for (int32_t i = 0; i < header.n_samples; ++i) sample(plan, static_cast<size_t>(i), result);
  }

  // The slots of a block: [block_size].
  std::span<KvSlot> slots_of(int32_t block) {
    const auto size = static_cast<size_t>(options_.limits.block_size);
    return std::span(pages_).subspan(static_cast<size_t>(block) * size, size);
  }

  void store_in_host(const StepPlanView& plan) {
    for (size_t i = 0; i < plan.stores_to().size(); ++i) {
      const std::span<const KvSlot> from = slots_of(plan.stores_from()[i]);
      host_.at(static_cast<size_t>(plan.stores_to()[i])) = {plan.store_tags()[i],
                                                            {from.begin(), from.end()}};
    }
  }

  bool load_from_host(const StepPlanView& plan, StepResult& result) {
    for (size_t i = 0; i < plan.loads_from().size(); ++i) {
      const HostBlockId from{plan.loads_from()[i]};
      const HostBlock& block = host_.at(static_cast<size_t>(raw(from)));
      if (block.tag != plan.load_tags()[i] || rotten_host_blocks.contains(raw(from))) {
        result.bad_host_blocks.push_back(from);
        continue;
      }
      std::ranges::copy(block.content, slots_of(plan.loads_to()[i]).begin());
    }
    if (!result.bad_host_blocks.empty()) result.status = StepStatus::kBadHostBlock;
    return result.bad_host_blocks.empty();
  }

  bool loads_rotten_block(const StepPlanView& plan) const {
    return std::ranges::any_of(plan.loads_from(),
                               [this](int32_t from) { return rotten_host_blocks.contains(from); });
  }

  void copy_blocks(const StepPlanView& plan) {
    for (size_t i = 0; i < plan.copies_from().size(); ++i) {
      std::ranges::copy(slots_of(plan.copies_from()[i]), slots_of(plan.copies_to()[i]).begin());
    }
  }

  void resolve_and_store(const StepPlanView& plan) {
    for (size_t i = 0; i < plan.cached_ids().size(); ++i) {
      history(plan.cached_seq_slots()[i], plan.cached_positions()[i]) = plan.cached_ids()[i];
    }
    for (size_t i = 0; i < plan.tokens().size(); ++i) {
      const int32_t position = plan.positions()[i];
      int32_t& known = history(plan.seq_slots()[i], position);
      if (plan.tokens()[i] >= 0) known = plan.tokens()[i];
      tokens_[i] = known;
      pages_.at(static_cast<size_t>(plan.slot_mapping()[i])) = {known, position};
    }
  }

  // From a poisoned token on, every row has non-finite keys and values as well as logits.
  void check_stored(const StepPlanView& plan, StepResult& result) {
    std::ranges::fill(result.kv_finite, uint8_t{1});
    for (size_t i = 0; i < plan.tokens().size(); ++i) {
      const int32_t slot = plan.seq_slots()[i];
      if (is_broken_.at(static_cast<size_t>(slot))) continue;
      bool is_sound = tokens_[i] != options_.unsound_token;
      for (int32_t p = 0; p <= plan.positions()[i] && options_.poison_token >= 0; ++p) {
        is_sound &= history(slot, p) != options_.poison_token;
      }
      if (!is_sound) result.kv_finite.at(static_cast<size_t>(plan.seq_of_token()[i])) = 0;
    }
  }

  // A failed step stores nothing, so a later row that builds on it reads garbage, as at a rank. A
  // sequence slot is valid again when a sequence starts in it or its token_ids are written anew.
  void set_broken(const StepPlanView& plan, bool is_broken) {
    for (int32_t slot : plan.cached_seq_slots()) is_broken_.at(static_cast<size_t>(slot)) = false;
    for (size_t i = 0; i < plan.tokens().size(); ++i) {
      if (!is_broken && plan.positions()[i] > 0) continue;
      is_broken_.at(static_cast<size_t>(plan.seq_slots()[i])) = is_broken;
    }
  }

  void sample(const StepPlanView& plan, size_t row, StepResult& result) {
    const SamplingRow& sampling = plan.sampling()[row];
    result.finite[row] = 1;
    if (is_broken_.at(static_cast<size_t>(sampling.seq_slot))) return;
    const size_t token_idx = static_cast<size_t>(plan.sample_rows()[row]);
    const int32_t position = plan.positions()[token_idx];
    ASSERT_EQ(sampling.n_known, position + 1);
    ASSERT_EQ(sampling.seq_slot, plan.seq_slots()[token_idx]);
    context_.clear();
    for (int32_t p = 0; p <= position; ++p) {
      context_.push_back(read(plan, token_idx, p));
      ASSERT_EQ(context_.back(), history(sampling.seq_slot, p))
          << "history and pages differ at " << p;
    }
    const bool is_poisoned = std::ranges::find(context_, options_.poison_token) != context_.end();
    const uint64_t hash = hash_of(context_, sampling.n_prompt, sampling);
    const int32_t id = pick(hash, sampling, plan.banned());
    history(sampling.seq_slot, sampling.n_known) = id;
    result.ids[row] = id;
    result.finite[row] = is_poisoned ? 0 : 1;
    result.logprobs[row] = -static_cast<float>(hash % 1000) / 100;
    for (int k = 0; k < kMaxTopLogprobs; ++k) {
      result.top[row * kMaxTopLogprobs + static_cast<size_t>(k)] = {
          (id + k) % options_.vocab_size, result.logprobs[row] - static_cast<float>(k)};
    }
  }

  static uint64_t hash_of(std::span<const int32_t> context, int32_t n_prompt,
                          const SamplingRow& row) {
    uint64_t hash = row.seed * 0x9e3779b97f4a7c15u + row.choice + 1;
    for (int32_t token : context) hash = mix(hash, static_cast<uint64_t>(token));
    hash = mix(hash, row.output_idx);
    return mix(hash, static_cast<uint64_t>(n_prompt));
  }

  // Returns the token at position p of the sequence of row `token_idx`.
  int32_t read(const StepPlanView& plan, size_t token_idx, int32_t p) {
    const int32_t block_size = options_.limits.block_size;
    const size_t table_row = static_cast<size_t>(plan.seq_of_token()[token_idx]) *
                             static_cast<size_t>(plan.header().max_blocks);
    const int32_t block = plan.block_tables()[table_row + static_cast<size_t>(p / block_size)];
    const KvSlot& slot = pages_.at(static_cast<size_t>(block * block_size + p % block_size));
    EXPECT_EQ(slot.position, p) << "block " << block << " holds another position";
    return slot.token;
  }

  int32_t pick(uint64_t hash, const SamplingRow& row, std::span<const int32_t> banned) const {
    int32_t id = static_cast<int32_t>(hash % static_cast<uint64_t>(options_.vocab_size));
    if (id == options_.breaking_token) id = (id + 1) % options_.vocab_size;
    if (options_.fixed_token >= 0) id = options_.fixed_token;
    if (row.output_idx < options_.script.size()) id = options_.script[row.output_idx];
    if (row.min_tokens_left == 0) return id;
    const auto own =
        banned.subspan(static_cast<size_t>(row.banned_first), static_cast<size_t>(row.n_banned));
    while (std::find(own.begin(), own.end(), id) != own.end()) {
      id = (id + 1) % options_.vocab_size;
    }
    return id;
  }

  // A block that this step writes must not belong to another sequence of an unfinished step. Each
  // table is read once: sanitized tests have steps of 512 rows and tables of 1000 blocks.
  void check_no_other_sequence_reads_what_it_writes(const StepPlanView& plan) {
    find_writers(plan);
    for (uint64_t n = n_submitted_ - static_cast<uint64_t>(n_unanswered_); n < n_submitted_; ++n) {
      const StepPlanView other = plan_of(n);
      for (size_t t = 0; t < other.tokens().size(); ++t) {
        if (t > 0 && other.seq_of_token()[t] == other.seq_of_token()[t - 1]) continue;
        check_table(other, t);
      }
    }
  }
  // Sets writers_ to the sequence slots that write to each block.
  void find_writers(const StepPlanView& plan) {
    std::ranges::fill(writers_, -1);
    for (size_t t = 0; t < plan.tokens().size(); ++t) {
      const int32_t block = plan.slot_mapping()[t] / options_.limits.block_size;
      int32_t& writer = writers_.at(static_cast<size_t>(block));
      EXPECT_TRUE(writer < 0 || writer == plan.seq_slots()[t])
          << "two sequences write to block " << block;
      writer = plan.seq_slots()[t];
    }
  }
  // Token t of `other` reads no block that another sequence writes to.
  void check_table(const StepPlanView& other, size_t t) const {
    const auto width = static_cast<size_t>(other.header().max_blocks);
    const auto row = static_cast<size_t>(other.seq_of_token()[t]);
    for (int32_t block : other.block_tables().subspan(row * width, width)) {
      if (block < 0) continue;
      const int32_t writer = writers_.at(static_cast<size_t>(block));
      EXPECT_TRUE(writer < 0 || writer == other.seq_slots()[t])
          << "block " << block << " was given away while a step in flight reads it";
    }
  }

  static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0xbf58476d1ce4e5b9u;
    return hash ^ (hash >> 29);
  }

  const Options options_;
  std::vector<KvSlot> pages_;       // [n_kv_blocks, block_size]
  std::vector<HostBlock> host_;     // [n_host_blocks]
  std::vector<int32_t> token_ids_;  // [max_seqs, max_model_len + 1]
  std::vector<Plan> plans_;         // unanswered plans, by number
  std::vector<int32_t> tokens_;     // [max_tokens], resolved
  std::vector<int32_t> context_;    // tokens of the sequence that is being sampled
  std::vector<bool> is_broken_;     // [max_seqs], by sequence slot
  std::vector<int32_t> writers_;    // [n_kv_blocks], the slot that writes to a block, or -1
  uint64_t n_submitted_ = 0;
  int n_unanswered_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_held_ = false;     // guarded by mutex_
  bool is_stalled_ = false;  // guarded by mutex_
};

}  // namespace lockstep::testing
