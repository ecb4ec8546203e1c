#include "node/engine/sequence/sequence.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/check.h"
#include "common/fault_points.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {
namespace {

constexpr int8_t bit(SeqState state) { return static_cast<int8_t>(1 << static_cast<int>(state)); }

// [from] = bits of the states that may follow.
constexpr std::array<int8_t, kNSeqStates> kLegal = {
    static_cast<int8_t>(bit(SeqState::kPrefilling) | bit(SeqState::kReleased)),  // kWaiting
    static_cast<int8_t>(bit(SeqState::kDecoding) | bit(SeqState::kWaiting) |
                        bit(SeqState::kRetiring)),  // kPrefilling
    static_cast<int8_t>(bit(SeqState::kPrefilling) | bit(SeqState::kWaiting) |
                        bit(SeqState::kRetiring)),  // kDecoding
    bit(SeqState::kReleased),                       // kRetiring
    0,                                              // kReleased
};

int32_t length_limit(int32_t n_known, int32_t n_outputs_left, int32_t max_context) {
  return static_cast<int32_t>(std::min<int64_t>(int64_t{n_known} + n_outputs_left, max_context));
}

}  // namespace

std::string_view to_string(SeqState state) {
  switch (state) {
    case SeqState::kWaiting:
      return "waiting";
    case SeqState::kPrefilling:
      return "prefilling";
    case SeqState::kDecoding:
      return "decoding";
    case SeqState::kRetiring:
      return "retiring";
    case SeqState::kReleased:
      return "released";
  }
  return "?";
}

bool is_legal_transition(SeqState from, SeqState to) {
  return (kLegal[static_cast<size_t>(from)] & bit(to)) != 0;
}

Sequence::Sequence(LiveRequest& owner, uint32_t choice, int32_t max_context)
    : owner_(&owner),
      choice_(choice),
      n_prompt_(static_cast<int32_t>(owner.request.prompt.size())),
      max_context_(max_context),
      n_prompt_known_(n_prompt_),
      n_tokens_max_(length_limit(n_prompt_, owner.request.sampling.max_tokens, max_context)) {}

void Sequence::transition(SeqState to) {
  CHECK(is_legal_transition(state_, to));
  state_ = to;
}

std::span<const int32_t> Sequence::tokens() const {
  return tokens_.empty() ? std::span(owner_->request.prompt) : std::span(tokens_);
}

const PrefixHashes& Sequence::prefix() const {
  return n_outputs_ > 0 && is_waiting() ? prefix_ : owner_->prefix;
}

void Sequence::resume(std::span<const int32_t> outputs, int32_t n_keep, int32_t block_size) {
  CHECK(is_waiting() && tokens_.empty());
  if (outputs.empty()) return;
  start_context();
  for (const int32_t token : outputs) {
    append_output(token);
    if (is_full()) drop(context_cut(n_known(), n_prompt_known_, n_keep));
  }
  requeue_reason_ = RequeueReason::kResumed;
  hash_context(block_size);
}

void Sequence::start_context() {
  const std::vector<int32_t>& prompt = owner_->request.prompt;
  tokens_.assign(prompt.begin(), prompt.end());
}

void Sequence::admit(SeqSlot slot, BlockTable table, PrefixChain chain, int32_t n_cached,
                     BlockRef partial, std::vector<HostPin> host) {
  transition(SeqState::kPrefilling);
  slot_ = slot;
  table_ = std::move(table);
  chain_ = std::move(chain);
  partial_ = std::move(partial);
  host_ = std::move(host);
  first_own_block_ = static_cast<size_t>(table_.n_blocks());
  tokens_.reserve(static_cast<size_t>(n_tokens_max_));
  if (tokens_.empty()) start_context();
  was_admitted_ = true;
  n_prefill_ = n_known();
  n_cached_ = n_computed_ = n_cached;
  CHECK(n_cached < n_prefill_);
}

void Sequence::plan_chunk(int32_t n_tokens, bool samples) {
  CHECK(is_running());
  n_inflight_ += n_tokens;
  if (samples) ++n_samples_inflight_;
  has_token_ids_ = true;
  table_.grow(next_position());
  if (state_ == SeqState::kPrefilling && n_prefill_left() == 0) transition(SeqState::kDecoding);
}

void Sequence::finish_chunk(int32_t n_tokens, bool samples) {
  n_inflight_ -= n_tokens;
  n_computed_ += n_tokens;
  partial_ = BlockRef();
  lockstep::release(host_);
  if (samples) --n_samples_inflight_;
  CHECK(n_inflight_ >= 0 && n_samples_inflight_ >= 0);
}

void Sequence::undo_chunk(int32_t n_tokens, bool samples) {
  n_inflight_ -= n_tokens;
  if (samples) --n_samples_inflight_;
  CHECK(n_inflight_ >= 0 && n_samples_inflight_ >= 0);
  has_token_ids_ = false;
  if (state_ == SeqState::kDecoding && n_prefill_left() > 0) transition(SeqState::kPrefilling);
}

void Sequence::append_output(int32_t token) {
  CHECK(n_known() < n_tokens_max_);
  tokens_.push_back(token);
  ++n_outputs_;
}

void Sequence::requeue(RequeueReason reason, int32_t block_size) {
  transition(SeqState::kWaiting);
  return_slot_and_blocks();
  requeue_reason_ = reason;
  n_lost_ = std::exchange(n_computed_, 0);
  if (reason == RequeueReason::kPreempted) ++n_preemptions_;
  hash_context(block_size);
}

void Sequence::cut(const ContextCut& cut, int32_t block_size) {
  drop(cut);
  requeue(RequeueReason::kCut, block_size);
  n_lost_ -= cut.n_dropped;
}

void Sequence::drop(const ContextCut& cut) {
  CHECK(cut.n_kept >= 0 && cut.n_dropped > 0 && cut.n_kept + cut.n_dropped < n_known());
  const auto first = tokens_.begin() + cut.n_kept;
  tokens_.erase(first, first + cut.n_dropped);
  n_prompt_known_ -= std::clamp(n_prompt_known_ - cut.n_kept, 0, cut.n_dropped);
  n_tokens_max_ =
      length_limit(n_known(), owner_->request.sampling.max_tokens - n_outputs_, max_context_);
  ++n_cuts_;
}

void Sequence::hash_context(int32_t block_size) {
  if (n_outputs_ == 0 || !owner_->takes_part_in_cache) return;
  prefix_ = prefix_hashes(owner_->prefix.key, tokens_, block_size);
}

void Sequence::retire() {
  transition(SeqState::kRetiring);
  if (fault(Fault::kFreedEarly)) table_.clear();
}

void Sequence::release() {
  transition(SeqState::kReleased);
  return_slot_and_blocks();
}

void Sequence::return_slot_and_blocks() {
  CHECK_EQ(n_inflight_, 0);
  partial_ = BlockRef();
  lockstep::release(host_);
  table_ = BlockTable();
  PrefixCache::end_chain(chain_);
  slot_ = SeqSlot{-1};
  has_token_ids_ = false;
}

}  // namespace lockstep
