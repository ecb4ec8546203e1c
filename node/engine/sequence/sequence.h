// Sequence: one choice of one request on its way through the engine: its state, its context, and
// how many tokens of the context have keys and values. Owns its KV blocks. Knows nothing of text or
// of other sequences. Engine thread only.
//
// The context is the list of tokens that the sequence forwards: prompt and output, without the
// tokens that a context shift dropped (node/engine/sequence/context_cut.h). n_known is its length.
// n_outputs counts all tokens sampled, dropped ones included.
//
// State transitions; every other one is a bug:
//
//   from                    to           when
//   kWaiting                kPrefilling  admitted: it holds a slot, the cached blocks of its prefix
//                                        and a reservation of further blocks
//   kPrefilling             kDecoding    the chunk with its last known token was planned
//   kDecoding               kPrefilling  the step with that chunk failed; the chunk runs again
//   kPrefilling, kDecoding  kWaiting     requeued: slot and blocks are returned; the context is
//                                        kept, or what a context shift left of it
//   kPrefilling, kDecoding  kRetiring    it stopped, reached its length, was cancelled or failed
//   kRetiring               kReleased    no step in flight names it; slot and blocks are returned
//   kWaiting                kReleased    it was cancelled or failed while it waited
//
// Progress, in tokens from the start of the context:
//
//   |<----- n_computed ----->|<----- n_inflight ----->|<------- not planned ------->|
//   |  in the KV cache       |  in steps in flight    ^ next_position               |
//   |                                                                               |
//   |<--------- n_known: prompt and output so far -------->|<- n_samples_inflight ->|
//
// A chunk is prefill up to n_prefill, the number of tokens known at admission; from there on a
// chunk is a decode of one token.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "node/engine/sequence/context_cut.h"
#include "node/kv/host/host_tier.h"
#include "node/kv/pool/block_table.h"
#include "node/kv/prefix/prefix_cache.h"

namespace lockstep {

struct LiveRequest;

enum class SeqState : uint8_t { kWaiting, kPrefilling, kDecoding, kRetiring, kReleased };
inline constexpr int kNSeqStates = 5;
std::string_view to_string(SeqState state);
bool is_legal_transition(SeqState from, SeqState to);

// Why a sequence whose context is more than its prompt was put into the waiting queue.
enum class RequeueReason : uint8_t {
  kRestart,     // without a KV cache, each output token needs a pass over the whole context
  kPreempted,   // other sequences needed its blocks
  kCut,         // its context was full and was cut
  kLoadFailed,  // a block that it was to load was no longer in host memory
  kResumed,     // it ran at another node before and is new here
};

class Sequence {
 public:
  // `owner` must outlive the sequence; its prompt and sampling must not change. max_context: the
  // most tokens that the context may have.
  Sequence(LiveRequest& owner, uint32_t choice, int32_t max_context);

  LiveRequest& owner() const { return *owner_; }
  uint32_t choice() const { return choice_; }
  SeqState state() const { return state_; }
  bool is_waiting() const { return state_ == SeqState::kWaiting; }
  bool is_running() const {
    return state_ == SeqState::kPrefilling || state_ == SeqState::kDecoding;
  }
  bool is_open() const { return is_waiting() || is_running(); }  // the choice has not ended

  int32_t n_prompt() const { return n_prompt_; }
  // The context so far. Before the first admission it is the request's prompt, not a copy, unless
  // the sequence is resumed.
  int32_t n_known() const { return static_cast<int32_t>(tokens().size()); }
  std::span<const int32_t> tokens() const;  // [n_known]
  // How many of the context's tokens belong to the prompt; they come first.
  int32_t n_prompt_known() const { return n_prompt_known_; }
  // Tokens sampled so far, including those that a context shift dropped.
  int32_t n_outputs() const { return n_outputs_; }
  int32_t n_cuts() const { return n_cuts_; }
  int32_t n_computed() const { return n_computed_; }  // with keys and values, cached ones included
  // Tokens that the last admission found in the prefix cache, in host memory included.
  int32_t n_cached() const { return n_cached_; }
  // Those of them that belong to the prompt; fewer than n_prompt.
  int32_t n_cached_of_prompt() const {
    return std::min({n_cached_, n_prompt_known_, n_prompt_ - 1});
  }
  int32_t n_inflight() const { return n_inflight_; }
  int32_t n_samples_inflight() const { return n_samples_inflight_; }
  int32_t next_position() const { return n_computed_ + n_inflight_; }  // the next one to plan
  int32_t n_prefill_left() const { return n_prefill_ - next_position(); }
  // As n_prefill_left, but tokens in flight count as left.
  int32_t n_prefill_uncomputed() const { return std::max(n_prefill_ - n_computed_, 0); }
  // The most tokens that the context can have, before a context shift if outputs are left then.
  int32_t n_tokens_max() const { return n_tokens_max_; }
  // Whether the known tokens and the samples in flight reach n_tokens_max.
  bool is_length_planned() const { return n_known() + n_samples_inflight_ >= n_tokens_max_; }
  bool is_full() const { return n_known() == n_tokens_max_; }

  SeqSlot slot() const { return slot_; }
  const BlockTable& table() const { return table_; }  // empty while the sequence waits

  PrefixChain& chain() { return chain_; }
  const PrefixChain& chain() const { return chain_; }
  // Steps for which the sequence was deferred because another one was computing its prefix.
  int32_t n_steps_deferred() const { return n_steps_deferred_; }
  void defer(uint64_t step) { deferred_at_ = step; }
  void end_deferral(uint64_t step) {
    n_steps_deferred_ += static_cast<int32_t>(step - deferred_at_);
  }
  // Waiting sequences: the number of its tokens that the prefix cache did not have when the
  // sequence entered the waiting queue. An estimate that only orders the queue.
  int32_t n_to_forward() const { return n_to_forward_; }
  void expect_to_forward(int32_t n_tokens) { n_to_forward_ = n_tokens; }

  // The order of arrival, assigned once; a requeued sequence keeps it.
  uint64_t arrival() const { return arrival_; }
  void arrive(uint64_t arrival) { arrival_ = arrival; }
  // How often the sequence was preempted: it lost its blocks to other sequences.
  int32_t n_preemptions() const { return n_preemptions_; }
  // Of the last requeue, or of the resume: its reason, and how many tokens of the kept context had
  // keys and values.
  RequeueReason requeue_reason() const { return requeue_reason_; }
  int32_t n_lost() const { return n_lost_; }
  // The sequence has outputs of another node and was never requeued here.
  bool is_resumed() const { return requeue_reason_ == RequeueReason::kResumed; }
  // The sequence has never been admitted.
  bool is_new() const { return !was_admitted_; }
  // Hashes by which an admission now would look the sequence up in the prefix cache, if the request
  // uses the cache: of the context for a waiting sequence with outputs, else of the prompt.
  const PrefixHashes& prefix() const;

  // Gives a new sequence outputs that another node sampled. Context shifts (n_keep: as in
  // EngineConfig) cut the context where they did there. block_size: of the hashes in prefix().
  void resume(std::span<const int32_t> outputs, int32_t n_keep, int32_t block_size);
  // Admits the sequence: it holds `slot` and a started block table. The table's blocks hold the
  // first n_cached tokens, some only once the first chunk has run: either the first own blocks are
  // loaded from `host`, or the first own block receives a copy of the first tokens of `partial`.
  // At most one of `host` and `partial` is given.
  void admit(SeqSlot slot, BlockTable table, PrefixChain chain, int32_t n_cached,
             BlockRef partial = {}, std::vector<HostPin> host = {});
  // Adds a reservation of further blocks to the table.
  void extend(BlockReservation more) { table_.extend(std::move(more)); }
  // The next n_tokens are part of a step; `samples` = the token after them will be sampled.
  void plan_chunk(int32_t n_tokens, bool samples);
  // The step with that chunk succeeded.
  void finish_chunk(int32_t n_tokens, bool samples);
  // The step with that chunk failed; the chunk has to be planned again.
  void undo_chunk(int32_t n_tokens, bool samples);
  // Whether the copy of `partial` is still to be made; the original is held until the first chunk
  // has run.
  bool awaits_copy() const { return static_cast<bool>(partial_); }
  const BlockRef& partial() const { return partial_; }
  // Whether the blocks in `host` are still to be loaded; they are pinned until then.
  bool awaits_load() const { return !host_.empty(); }
  std::span<const HostPin> host() const { return host_; }
  // Index in the table of the first block that copies and loads write to.
  size_t first_own_block() const { return first_own_block_; }
  // Whether row `slot` of token_ids on the ranks is complete up to next_position. False after a
  // failed chunk, which may or may not have written it.
  bool has_token_ids() const { return has_token_ids_; }
  void append_output(int32_t token);
  // Returns slot and blocks; the sequence waits and later continues from its context. block_size:
  // of the hashes in prefix(). Only when no step in flight names the sequence.
  void requeue(RequeueReason reason, int32_t block_size);
  // Requeues the sequence with a context from which `cut` dropped tokens.
  void cut(const ContextCut& cut, int32_t block_size);
  void retire();
  // Returns slot and blocks for good. Only when no step in flight names the sequence.
  void release();

 private:
  void transition(SeqState to);
  void start_context();
  void drop(const ContextCut& cut);
  void return_slot_and_blocks();
  void hash_context(int32_t block_size);

  // constant after construction
  LiveRequest* owner_;
  uint32_t choice_;
  int32_t n_prompt_;
  int32_t max_context_;

  int32_t n_prompt_known_;
  int32_t n_tokens_max_;
  SeqState state_ = SeqState::kWaiting;
  SeqSlot slot_{-1};
  BlockTable table_;
  PrefixChain chain_;
  BlockRef partial_;
  std::vector<HostPin> host_;
  size_t first_own_block_ = 0;
  PrefixHashes prefix_;  // of the context, once requeued or resumed with outputs
  uint64_t arrival_ = 0;
  int32_t n_steps_deferred_ = 0;
  uint64_t deferred_at_ = 0;
  int32_t n_to_forward_ = 0;
  int32_t n_preemptions_ = 0;
  RequeueReason requeue_reason_ = RequeueReason::kRestart;
  int32_t n_lost_ = 0;
  int32_t n_cuts_ = 0;
  bool has_token_ids_ = false;
  int32_t n_prefill_ = 0;
  int32_t n_cached_ = 0;
  bool was_admitted_ = false;
  std::vector<int32_t> tokens_;  // empty until the first admission, unless resumed
  int32_t n_outputs_ = 0;
  int32_t n_computed_ = 0;
  int32_t n_inflight_ = 0;
  int32_t n_samples_inflight_ = 0;
};

}  // namespace lockstep
