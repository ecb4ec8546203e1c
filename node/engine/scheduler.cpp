#include "node/engine/scheduler.h"

#include <algorithm>

#include "common/check.h"

namespace lockstep {

Scheduler::Scheduler(const StepLimits& limits, KvPools& pools)
    : limits_(limits), pools_(pools), max_running_(std::min(limits.max_seqs, limits.max_tokens)) {
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
  out.n_tokens = out.n_samples = 0;
  out.n_blocks_promised.assign(pools_.size(), 0);
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
    if (sequence->state() == SeqState::kPrefilling) add_prompt_chunk(*sequence, false, out);
  }
}

void Scheduler::plan_admissions(Schedule& out) const {
  int32_t n_running = static_cast<int32_t>(running_.size());
  for (Sequence* sequence : waiting_) {
    if (n_running == max_running_ || out.n_tokens == limits_.max_tokens) return;
    if (!can_promise(*sequence, out)) return;
    const int32_t need = n_blocks_for(sequence->n_tokens_max(), limits_.block_size);
    for (int32_t& n_promised : out.n_blocks_promised) n_promised += need;
    add_prompt_chunk(*sequence, true, out);
    ++n_running;
  }
}

bool Scheduler::can_promise(const Sequence& sequence, const Schedule& so_far) const {
  const int32_t need = n_blocks_for(sequence.n_tokens_max(), limits_.block_size);
  for (size_t group = 0; group < pools_.size(); ++group) {
    const int32_t n_left = pools_[group].n_blocks_available() - so_far.n_blocks_promised[group];
    if (need > n_left) return false;
  }
  return true;
}

void Scheduler::add_prompt_chunk(Sequence& sequence, bool admits, Schedule& out) const {
  const int32_t n_tokens = std::min(sequence.n_prompt_left(), limits_.max_tokens - out.n_tokens);
  const bool samples = n_tokens == sequence.n_prompt_left();
  out.chunks.push_back({.sequence = &sequence,
                        .first_position = sequence.next_position(),
                        .n_tokens = n_tokens,
                        .samples = samples,
                        .admits = admits});
  out.n_tokens += n_tokens;
  if (samples) ++out.n_samples;
}

void Scheduler::commit(const Schedule& schedule) {
  for (const ScheduledChunk& chunk : schedule.chunks) {
    if (chunk.admits) admit(*chunk.sequence);
    CHECK_EQ(chunk.first_position, chunk.sequence->next_position());
    chunk.sequence->plan_chunk(chunk.n_tokens, chunk.samples);
  }
}

void Scheduler::admit(Sequence& sequence) {
  CHECK(!waiting_.empty() && waiting_.front() == &sequence && !free_slots_.empty());
  leave_line(waiting_.begin());
  std::vector<BlockTable> tables(pools_.size());
  for (size_t group = 0; group < pools_.size(); ++group) {
    auto promise = pools_[group].reserve(n_blocks_for(sequence.n_tokens_max(), limits_.block_size));
    CHECK(promise.has_value());
    tables[group].start(std::move(*promise), limits_.block_size);
  }
  sequence.admit(free_slots_.back(), std::move(tables));
  free_slots_.pop_back();
  running_.push_back(&sequence);
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
