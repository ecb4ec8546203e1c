// Sequence: one choice of one request on its way through the engine: its state, its tokens and how
// many of them have keys and values. Owns its blocks. Knows nothing of text or of other sequences.
// Engine thread only.
//
// States, and who moves on:
//   kWaiting -> kPrefilling   admitted: a slot, the cached blocks that its prompt begins with, and
//   a
//                             promise of every other block it can ever need
//   kPrefilling -> kDecoding  the chunk with the last prompt token was planned
//   kPrefilling, kDecoding -> kRetiring   stopped, reached its length, was cancelled or failed
//   kRetiring -> kReleased    no step in flight names it any more; blocks and slot are back
//   kWaiting -> kReleased     cancelled or failed before it was admitted
//
// Progress, in tokens from the start of the prompt:
//   |  n_computed (in the cache)  |  n_inflight (in steps that run)  | ... n_known | pending
//   samples
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "node/kv/block_table.h"
#include "node/kv/prefix_cache.h"

namespace lockstep {

struct LiveRequest;

enum class SeqState : uint8_t { kWaiting, kPrefilling, kDecoding, kRetiring, kReleased };
inline constexpr int kNSeqStates = 5;
std::string_view to_string(SeqState state);
bool is_legal_transition(SeqState from, SeqState to);

class Sequence {
 public:
  // `owner` must outlive the sequence and its prompt and sampling must not change.
  Sequence(LiveRequest& owner, uint32_t choice);

  LiveRequest& owner() const { return *owner_; }
  uint32_t choice() const { return choice_; }
  SeqState state() const { return state_; }
  bool is_waiting() const { return state_ == SeqState::kWaiting; }
  bool is_running() const {
    return state_ == SeqState::kPrefilling || state_ == SeqState::kDecoding;
  }
  bool is_open() const { return is_waiting() || is_running(); }  // its choice has not ended

  int32_t n_prompt() const { return n_prompt_; }
  int32_t n_known() const { return static_cast<int32_t>(tokens_.size()); }
  int32_t n_outputs() const { return n_outputs_; }
  int32_t n_computed() const { return n_computed_; }  // with keys and values, cached ones included
  int32_t n_cached() const { return n_cached_; }      // of the prompt, found in the KV cache
  int32_t n_inflight() const { return n_inflight_; }
  int32_t n_samples_inflight() const { return n_samples_inflight_; }
  int32_t next_position() const { return n_computed_ + n_inflight_; }  // the next to be planned
  int32_t n_prompt_left() const { return n_prompt_ - next_position(); }
  // The tokens it can ever have; blocks are promised for all of them.
  int32_t n_tokens_max() const { return n_tokens_max_; }
  // Whether the outputs known and in flight are all it may have.
  bool is_length_planned() const { return n_known() + n_samples_inflight_ >= n_tokens_max_; }
  std::span<const int32_t> tokens() const { return tokens_; }  // prompt and output, [n_known]

  SlotId slot() const { return slot_; }
  std::span<const BlockTable> tables() const { return tables_; }  // [n_groups], while running

  PrefixChain& chain() { return chain_; }
  const PrefixChain& chain() const { return chain_; }
  // Steps for which it has stood back for a sequence that computes what it wants to share.
  int32_t n_steps_stood_back() const { return n_steps_stood_back_; }
  void stand_back() { ++n_steps_stood_back_; }

  // Admitted: holds a copy of the prompt, `slot` and one started table per KV group, whose first
  // blocks hold the first n_cached tokens.
  void admit(SlotId slot, std::vector<BlockTable> tables, PrefixChain chain, int32_t n_cached);
  // The next n_tokens are part of a step; `samples` = the token after them will be sampled.
  void plan_chunk(int32_t n_tokens, bool samples);
  // The step with that chunk is done.
  void finish_chunk(int32_t n_tokens, bool samples);
  void append_output(int32_t token);
  void retire();
  // Gives everything back. Only when no step in flight names it.
  void release();

 private:
  void transition(SeqState to);

  // constant after construction
  LiveRequest* owner_;
  uint32_t choice_;
  int32_t n_prompt_;
  int32_t n_tokens_max_;

  SeqState state_ = SeqState::kWaiting;
  SlotId slot_{-1};
  std::vector<BlockTable> tables_;
  PrefixChain chain_;
  int32_t n_steps_stood_back_ = 0;
  int32_t n_cached_ = 0;
  std::vector<int32_t> tokens_;  // empty while waiting
  int32_t n_outputs_ = 0;
  int32_t n_computed_ = 0;
  int32_t n_inflight_ = 0;
  int32_t n_samples_inflight_ = 0;
};

}  // namespace lockstep
