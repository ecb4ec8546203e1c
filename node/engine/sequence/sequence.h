// Sequence: one choice of one request on its way through the engine: its state, its context and how
// much of it has keys and values. Owns its blocks. Knows nothing of text or of other sequences.
// Engine thread only.
//
// The context is what it forwards: prompt and output, less what was cut out of it when it was full
// (node/engine/sequence/context_cut.h). Its length is n_known; what the client has seen is
// n_outputs.
//
// States, and who moves on:
//   kWaiting -> kPrefilling     admitted: a slot, the cached blocks that its tokens begin with and
//   a
//                               reservation of others
//   kPrefilling -> kDecoding    the chunk with the last of its known tokens was planned
//   kDecoding -> kPrefilling    that chunk's step failed and is to run again
//   kPrefilling, kDecoding -> kWaiting    sent back: its blocks are gone, its context is not, or
//                                         what a cut left of it
//   kPrefilling, kDecoding -> kRetiring   stopped, reached its length, was cancelled or failed
//   kRetiring -> kReleased      no step in flight names it any more; blocks and slot are back
//   kWaiting -> kReleased       cancelled or failed while it waited
//
// Progress, in tokens from the start of the context; a chunk is prefill up to n_prefill, the tokens
// known when it was admitted, and a decode of one token from there on:
//   |  n_computed (in the cache)  |  n_inflight (in steps that run)  | ... n_known | pending
//   samples
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
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

// Why a sequence that was admitted before waits again.
enum class RequeueReason : uint8_t {
  kRestart,     // it forwards all its tokens anew, as it does for each of them
  kPreempted,   // others needed its blocks
  kCut,         // its context was full
  kLoadFailed,  // what it was to load from host memory was not there
};

class Sequence {
 public:
  // `owner` must outlive the sequence and its prompt and sampling must not change. max_context: the
  // most tokens that its context may have.
  Sequence(LiveRequest& owner, uint32_t choice, int32_t max_context);

  LiveRequest& owner() const { return *owner_; }
  uint32_t choice() const { return choice_; }
  SeqState state() const { return state_; }
  bool is_waiting() const { return state_ == SeqState::kWaiting; }
  bool is_running() const {
    return state_ == SeqState::kPrefilling || state_ == SeqState::kDecoding;
  }
  bool is_open() const { return is_waiting() || is_running(); }  // its choice has not ended

  int32_t n_prompt() const { return n_prompt_; }
  // Its context so far. The prompt is not copied before the first admission.
  int32_t n_known() const { return static_cast<int32_t>(tokens().size()); }
  std::span<const int32_t> tokens() const;  // [n_known]
  // Of those, how many are of the prompt: they come first.
  int32_t n_prompt_known() const { return n_prompt_known_; }
  // Tokens sampled so far, those included that were cut.
  int32_t n_outputs() const { return n_outputs_; }
  int32_t n_cuts() const { return n_cuts_; }
  int32_t n_computed() const { return n_computed_; }  // with keys and values, cached ones included
  int32_t n_cached() const { return n_cached_; }      // found in the KV cache when last admitted
  int32_t n_inflight() const { return n_inflight_; }
  int32_t n_samples_inflight() const { return n_samples_inflight_; }
  int32_t next_position() const { return n_computed_ + n_inflight_; }  // the next to be planned
  int32_t n_prefill_left() const { return n_prefill_ - next_position(); }
  // The tokens that its context can ever have; until it is cut, if it has outputs left then.
  int32_t n_tokens_max() const { return n_tokens_max_; }
  // Whether the tokens known and in flight are all it may have.
  bool is_length_planned() const { return n_known() + n_samples_inflight_ >= n_tokens_max_; }
  bool is_full() const { return n_known() == n_tokens_max_; }

  SeqSlot slot() const { return slot_; }
  std::span<const BlockTable> tables() const { return tables_; }  // [n_groups], while running

  PrefixChain& chain() { return chain_; }
  const PrefixChain& chain() const { return chain_; }
  // Steps for which it was deferred, for a sequence that computes what it wants to share.
  int32_t n_steps_deferred() const { return n_steps_deferred_; }
  void defer(uint64_t step) { deferred_at_ = step; }
  void come_back(uint64_t step) { n_steps_deferred_ += static_cast<int32_t>(step - deferred_at_); }
  // While it waits: of its tokens, those that the cache was not expected to have when it joined the
  // line. Only orders who is served first.
  int32_t n_to_forward() const { return n_to_forward_; }
  void expect_to_forward(int32_t n_tokens) { n_to_forward_ = n_tokens; }

  // Its place in line, given once: who came before.
  uint64_t arrival() const { return arrival_; }
  void arrive(uint64_t arrival) { arrival_ = arrival; }
  // How often it had to give up its blocks to others.
  int32_t n_preemptions() const { return n_preemptions_; }
  // When it was sent back: why, and the tokens of its context that had keys and values.
  RequeueReason requeue_reason() const { return requeue_reason_; }
  int32_t n_lost() const { return n_lost_; }
  // Not admitted yet, not even once.
  bool is_new() const { return tokens_.empty(); }
  // Of the tokens that it would have to forward if it were admitted now, if it takes part in the
  // prefix cache: of its prompt, but for a sequence that was sent back with outputs.
  const PrefixHashes& prefix() const;

  // Admitted: holds `slot` and one started table per KV group, whose first blocks hold the first
  // n_cached tokens, or will when its first chunk has run: of its own blocks the first ones are
  // loaded from `host`, or the first one gets the head of `partial` ([n_groups]); at most one of
  // the two is given.
  void admit(SeqSlot slot, std::vector<BlockTable> tables, PrefixChain chain, int32_t n_cached,
             std::vector<BlockRef> partial = {}, std::vector<HostPin> host = {});
  // `reservations` of more blocks, [n_groups], for its tables.
  void extend(std::span<BlockReservation> reservations);
  // The next n_tokens are part of a step; `samples` = the token after them will be sampled.
  void plan_chunk(int32_t n_tokens, bool samples);
  // The step with that chunk is done.
  void finish_chunk(int32_t n_tokens, bool samples);
  // That step failed: the chunk is still to be computed.
  void undo_chunk(int32_t n_tokens, bool samples);
  // Until its first chunk has run, the copy is not known to have been made; it keeps the originals.
  bool awaits_copy() const { return !partial_.empty(); }
  std::span<const BlockRef> partial() const { return partial_; }  // [n_groups], or none
  // The same of blocks from host memory.
  bool awaits_load() const { return !host_.empty(); }
  std::span<const HostPin> host() const { return host_; }
  size_t first_own_block() const { return first_own_block_; }  // in its tables: where these go to
  // Its slot's token history on the ranks is complete up to what is planned; a chunk that failed
  // may have left it so or not.
  bool has_token_ids() const { return has_token_ids_; }
  void append_output(int32_t token);
  // Gives back slot and blocks and waits again, to go on where it stands; block_size as for its
  // prefix(). Only when no step in flight names it.
  void requeue(RequeueReason reason, int32_t block_size);
  // As that, with a context of which some tokens were cut out.
  void cut(const ContextCut& cut, int32_t block_size);
  void retire();
  // Gives everything back. Only when no step in flight names it.
  void release();

 private:
  void transition(SeqState to);
  void give_back();
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
  std::vector<BlockTable> tables_;
  PrefixChain chain_;
  std::vector<BlockRef> partial_;
  std::vector<HostPin> host_;
  size_t first_own_block_ = 0;
  PrefixHashes prefix_;  // of the context, once sent back with outputs
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
  std::vector<int32_t> tokens_;  // empty until it is admitted
  int32_t n_outputs_ = 0;
  int32_t n_computed_ = 0;
  int32_t n_inflight_ = 0;
  int32_t n_samples_inflight_ = 0;
};

}  // namespace lockstep
