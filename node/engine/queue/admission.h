// Admission: what a node refuses at the door, with the numbers. Stateless; any thread. Whatever
// passes can run to its end on an otherwise empty node, so all it may ever have to do is wait.
#pragma once

#include <cstdint>
#include <span>

#include "common/result.h"
#include "common/sampling_ranges.h"
#include "node/engine/sequence/request.h"
#include "node/kv/pool/tenant_ledger.h"
#include "node/step/step_plan.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// StepLimits::max_banned for a node: every row may ban all its stop ids.
int32_t max_banned_ids(int32_t max_seqs, const Tokenizer& tokenizer);

class Admission {
 public:
  // The tokenizer must outlive it. n_kv_blocks: of every KV group's pool. No tenants: one, which
  // may have them all. With context_shift an output may be longer than the limits: a context that
  // is full is cut.
  Admission(const StepLimits& limits, int32_t n_kv_blocks, const Tokenizer& tokenizer,
            std::span<const TenantConfig> tenants = {}, bool context_shift = false);

  // Checks the request; on success its max_tokens is a number that fits.
  // kInvalidRequest, kContextLengthExceeded or kRequestExceedsKvPool.
  Status check(GenerationRequest& request) const;

 private:
  Status check_ids(const GenerationRequest& request) const;
  Status check_banned(const SamplingParams& sampling) const;
  Status check_length(GenerationRequest& request) const;
  int32_t n_outputs_to_fit(const GenerationRequest& request) const;

  const StepLimits limits_;
  const TenantLedger blocks_;  // with none taken
  const Tokenizer& tokenizer_;
  const bool context_shift_;
};

}  // namespace lockstep
