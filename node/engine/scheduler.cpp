#include "node/engine/scheduler.h"

#include <algorithm>

#include "common/check.h"
#include "node/engine/live_request.h"

namespace lockstep {

Scheduler::Scheduler(const StepLimits& limits, KvPools& pools, PrefixCache& cache)
    : limits_(limits),
      pools_(pools),
      cache_(cache),
      max_running_(std::min(limits.max_seqs, limits.max_tokens)),
      n_blocks_to_take_(pools.size()),
      tables_at_hand_(pools.size()) {
  CHECK(max_running_ > 0 && limits.block_size > 0);
  CHECK_EQ(pools_.size(), static_cast<size_t>(limits.n_groups));
  running_.reserve(static_cast<size_t>(max_running_));
  for (int32_t i = max_running_ - 1; i >= 0; --i) free_slots_.push_back(SlotId{i});
}

void Scheduler::enqueue(Sequence& sequence) {
  CHECK(sequence.is_waiting());
  waiting_.push_back(&sequence);
  if (sequence.choice() == 0) ++n_requests_waiting_;
}

void Scheduler::plan(Schedule& out) const {
  out.chunks.clear();
  out.chunks.reserve(static_cast<size_t>(max_running_));
  out.n_tokens = out.n_samples = out.n_cached = 0;
  out.n_blocks_promised.assign(pools_.size(), 0);
  out.shared.clear();
  out.standing_back.clear();
  plan_decodes(out);
  plan_prompts(out);
  plan_admissions(out);
}

void Scheduler::plan_decodes(Schedule& out) const {
  for (Sequence* sequence : running_) {
    if (sequence->state() != SeqState::kDecoding || sequence->is_length_planned()) continue;
    out.chunks.push_back({.sequence = sequence,
                          .first_position = sequence->next_position(),
                          .n_tokens = 1,
                          .samples = true});
    ++out.n_tokens;
    ++out.n_samples;
  }
}

void Scheduler::plan_prompts(Schedule& out) const {
  for (Sequence* sequence : running_) {
    if (out.n_tokens == limits_.max_tokens) return;
    if (sequence->state() != SeqState::kPrefilling) continue;
    add_prompt_chunk(*sequence, sequence->next_position(), out);
  }
}

void Scheduler::plan_admissions(Schedule& out) const {
  int32_t n_running = static_cast<int32_t>(running_.size());
  for (Sequence* sequence : waiting_) {
    if (n_running == max_running_ || out.n_tokens == limits_.max_tokens) return;
    match(*sequence, out);
    if (stands_back(*sequence, out)) {
      out.standing_back.push_back(sequence);
      continue;
    }
    const int32_t n_cached = static_cast<int32_t>(out.match.size()) * limits_.block_size;
    if (out.n_cached + n_cached > limits_.max_cached_tokens() || !promise(*sequence, out)) return;
    add_prompt_chunk(*sequence, n_cached, out);
    ScheduledChunk& chunk = out.chunks.back();
    chunk.admits = true;
    chunk.first_shared = out.shared.size();
    chunk.n_shared = out.match.size();
    out.shared.insert(out.shared.end(), out.match.begin(), out.match.end());
    out.n_cached += n_cached;
    ++n_running;
  }
}

// At least one token of a prompt is always forwarded: its logits are wanted.
void Scheduler::match(const Sequence& sequence, Schedule& out) const {
  const LiveRequest& request = sequence.owner();
  cache_.match(request.prefix, request.request.prompt,
               (sequence.n_prompt() - 1) / limits_.block_size, out.match);
}

// Whether somebody who runs, or is about to, computes blocks that this sequence would share, and
// will publish them with its first token, soon enough. out.match: the blocks that are there.
bool Scheduler::stands_back(const Sequence& sequence, const Schedule& so_far) const {
  if (sequence.n_steps_stood_back() >= kMaxStepsStoodBack) return false;
  const size_t next = so_far.match.size();
  const auto n_useful = static_cast<size_t>((sequence.n_prompt() - 1) / limits_.block_size);
  std::span<const uint64_t> wanted = sequence.owner().prefix.blocks;
  wanted = wanted.first(std::min(wanted.size(), n_useful));
  const auto is_worth_it = [&](const Sequence& other) {
    const std::vector<uint64_t>& theirs = other.owner().prefix.blocks;
    size_t end = next;
    while (end < wanted.size() && end < theirs.size() && theirs[end] == wanted[end]) ++end;
    const auto n_saved = static_cast<int32_t>(end - next) * limits_.block_size;
    const int32_t n_left = other.n_prompt() - other.n_computed();
    return n_saved > 0 && other.n_outputs() == 0 && n_left <= 2 * n_saved;
  };
  for (const Sequence* other : running_) {
    if (other->is_running() && other->chain().publishes() && is_worth_it(*other)) return true;
  }
  return std::ranges::any_of(so_far.chunks, [&](const ScheduledChunk& chunk) {
    return chunk.admits && is_worth_it(*chunk.sequence);
  });
}

// Counts what admitting the sequence takes out of every pool; false, and nothing counted, if one
// has too little. A cached block that is shared cannot be evicted for others any more.
bool Scheduler::promise(const Sequence& sequence, Schedule& so_far) const {
  const int32_t n_all = n_blocks_for(sequence.n_tokens_max(), limits_.block_size);
  const auto n_shared = static_cast<int32_t>(so_far.match.size());
  const auto need = [&](size_t group) {
    return n_all - n_shared + cache_.n_cached_of(so_far.match, static_cast<int>(group));
  };
  for (size_t group = 0; group < pools_.size(); ++group) {
    const int32_t n_left = pools_[group].n_blocks_available() - so_far.n_blocks_promised[group];
    if (need(group) > n_left) return false;
  }
  for (size_t group = 0; group < pools_.size(); ++group) {
    so_far.n_blocks_promised[group] += need(group);
  }
  return true;
}

void Scheduler::add_prompt_chunk(Sequence& sequence, int32_t first_position, Schedule& out) const {
  const int32_t n_left = sequence.n_prompt() - first_position;
  const int32_t n_tokens = std::min(n_left, limits_.max_tokens - out.n_tokens);
  const bool samples = n_tokens == n_left;
  out.chunks.push_back({.sequence = &sequence,
                        .first_position = first_position,
                        .n_tokens = n_tokens,
                        .samples = samples});
  out.n_tokens += n_tokens;
  if (samples) ++out.n_samples;
}

void Scheduler::commit(const Schedule& schedule) {
  // What is shared is referenced before anything is evicted.
  for (const ScheduledChunk& chunk : schedule.chunks) {
    if (chunk.admits) admit(chunk, schedule);
  }
  make_room(schedule);
  for (const ScheduledChunk& chunk : schedule.chunks) {
    CHECK_EQ(chunk.first_position, chunk.sequence->next_position());
    chunk.sequence->plan_chunk(chunk.n_tokens, chunk.samples);
  }
  for (Sequence* sequence : schedule.standing_back) sequence->stand_back();
}

void Scheduler::admit(const ScheduledChunk& chunk, const Schedule& schedule) {
  Sequence& sequence = *chunk.sequence;
  CHECK(!free_slots_.empty());
  leave_line(std::find(waiting_.begin(), waiting_.end(), &sequence));
  const auto nodes = std::span(schedule.shared).subspan(chunk.first_shared, chunk.n_shared);
  const int32_t n_all = n_blocks_for(sequence.n_tokens_max(), limits_.block_size);
  std::vector<BlockTable> tables(pools_.size());
  for (size_t group = 0; group < pools_.size(); ++group) {
    std::vector<BlockRef> shared = cache_.share(nodes, static_cast<int>(group));
    auto promise = pools_[group].reserve(n_all - static_cast<int32_t>(chunk.n_shared));
    CHECK(promise.has_value());
    tables[group].start(std::move(*promise), limits_.block_size, std::move(shared));
  }
  const LiveRequest& request = sequence.owner();
  PrefixChain chain;
  if (request.takes_part_in_cache) chain = cache_.start_chain(request.prefix, nodes, n_all);
  sequence.admit(free_slots_.back(), std::move(tables), std::move(chain), chunk.first_position);
  free_slots_.pop_back();
  running_.push_back(&sequence);
}

// Evicts what the chunks' new blocks need, all at once.
void Scheduler::make_room(const Schedule& schedule) {
  std::ranges::fill(n_blocks_to_take_, 0);
  for (const ScheduledChunk& chunk : schedule.chunks) {
    const int32_t n_covered =
        n_blocks_for(chunk.first_position + chunk.n_tokens, limits_.block_size);
    const std::span<const BlockTable> tables = chunk.sequence->tables();
    for (size_t group = 0; group < tables.size(); ++group) {
      n_blocks_to_take_[group] += std::max(0, n_covered - tables[group].n_blocks());
    }
  }
  cache_.make_room(n_blocks_to_take_);
}

void Scheduler::publish(Sequence& sequence) {
  if (!sequence.chain().publishes()) return;
  for (size_t group = 0; group < pools_.size(); ++group) {
    tables_at_hand_[group] = sequence.tables()[group].ids();
  }
  cache_.publish(sequence.chain(), sequence.tokens(), sequence.n_computed(), tables_at_hand_);
}

void Scheduler::leave_line(const std::deque<Sequence*>::iterator& place) {
  if ((*place)->choice() == 0) --n_requests_waiting_;
  waiting_.erase(place);
}

bool Scheduler::finish(const ScheduledChunk& chunk) {
  Sequence& sequence = *chunk.sequence;
  sequence.finish_chunk(chunk.n_tokens, chunk.samples);
  if (sequence.state() != SeqState::kRetiring || sequence.n_inflight() > 0) return false;
  release(sequence);
  return true;
}

bool Scheduler::retire(Sequence& sequence) {
  if (sequence.is_waiting()) {
    leave_line(std::find(waiting_.begin(), waiting_.end(), &sequence));
    sequence.release();
    return true;
  }
  sequence.retire();
  if (sequence.n_inflight() > 0) return false;
  release(sequence);
  return true;
}

void Scheduler::release(Sequence& sequence) {
  free_slots_.push_back(sequence.slot());
  sequence.release();
  running_.erase(std::find(running_.begin(), running_.end(), &sequence));
}

}  // namespace lockstep
