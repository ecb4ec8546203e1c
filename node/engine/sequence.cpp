#include "node/engine/sequence.h"

#include <array>
#include <utility>

#include "common/check.h"
#include "node/engine/live_request.h"

namespace lockstep {
namespace {

constexpr int8_t bit(SeqState state) { return static_cast<int8_t>(1 << static_cast<int>(state)); }

// [from] = the states it may go to.
constexpr std::array<int8_t, kNSeqStates> kLegal = {
    static_cast<int8_t>(bit(SeqState::kPrefilling) | bit(SeqState::kReleased)),  // kWaiting
    static_cast<int8_t>(bit(SeqState::kDecoding) | bit(SeqState::kRetiring)),    // kPrefilling
    bit(SeqState::kRetiring),                                                    // kDecoding
    bit(SeqState::kReleased),                                                    // kRetiring
    0,                                                                           // kReleased
};

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

Sequence::Sequence(LiveRequest& owner, uint32_t choice)
    : owner_(&owner),
      choice_(choice),
      n_prompt_(static_cast<int32_t>(owner.request.prompt.size())),
      n_tokens_max_(n_prompt_ + owner.request.sampling.max_tokens) {}

void Sequence::transition(SeqState to) {
  CHECK(is_legal_transition(state_, to));
  state_ = to;
}

void Sequence::admit(SlotId slot, std::vector<BlockTable> tables, PrefixChain chain,
                     int32_t n_cached) {
  transition(SeqState::kPrefilling);
  CHECK(n_cached < n_prompt_);
  slot_ = slot;
  tables_ = std::move(tables);
  chain_ = std::move(chain);
  n_cached_ = n_computed_ = n_cached;
  const std::vector<int32_t>& prompt = owner_->request.prompt;
  tokens_.reserve(static_cast<size_t>(n_tokens_max_));
  tokens_.assign(prompt.begin(), prompt.end());
}

void Sequence::plan_chunk(int32_t n_tokens, bool samples) {
  CHECK(is_running());
  n_inflight_ += n_tokens;
  if (samples) ++n_samples_inflight_;
  for (BlockTable& table : tables_) table.grow(next_position());
  if (state_ == SeqState::kPrefilling && n_prompt_left() == 0) transition(SeqState::kDecoding);
}

void Sequence::finish_chunk(int32_t n_tokens, bool samples) {
  n_inflight_ -= n_tokens;
  n_computed_ += n_tokens;
  if (samples) --n_samples_inflight_;
  CHECK(n_inflight_ >= 0 && n_samples_inflight_ >= 0);
}

void Sequence::append_output(int32_t token) {
  CHECK(n_known() < n_tokens_max_);
  tokens_.push_back(token);
  ++n_outputs_;
}

void Sequence::retire() { transition(SeqState::kRetiring); }

void Sequence::release() {
  CHECK_EQ(n_inflight_, 0);
  transition(SeqState::kReleased);
  for (BlockTable& table : tables_) table.clear();
  PrefixCache::end_chain(chain_);
  tables_.clear();
  slot_ = SlotId{-1};
}

}  // namespace lockstep
