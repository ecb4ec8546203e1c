// Admission: validates requests before they are queued. Each refusal names the numbers involved. A
// request that passes can run to its end on an otherwise empty node, so it may have to wait but
// never fails for lack of KV blocks. Stateless; any thread.
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

// StepLimits::max_banned for a node: every sampled row may ban all its stop ids.
int32_t max_banned_ids(int32_t max_seqs, const Tokenizer& tokenizer);

class Admission {
 public:
  // The tokenizer must outlive this object. n_kv_blocks: blocks in the KV pool. Without `tenants`
  // there is one tenant, which may use all blocks. With context_shift an output may be longer than
  // the limits, because a full context is cut.
  Admission(const StepLimits& limits, int32_t n_kv_blocks, const Tokenizer& tokenizer,
            std::span<const TenantConfig> tenants = {}, bool context_shift = false);

  // Checks the request and, on success, sets its max_tokens to a number that fits. Errors:
  // kInvalidRequest, kContextLengthExceeded or kRequestExceedsKvPool.
  Status check(GenerationRequest& request) const;

 private:
  Status check_ids(const GenerationRequest& request) const;
  Status check_banned(const SamplingParams& sampling) const;
  Status check_length(GenerationRequest& request) const;
  int32_t n_outputs_to_fit(const GenerationRequest& request) const;

  const StepLimits limits_;
  const TenantLedger blocks_;  // of an empty pool
  const Tokenizer& tokenizer_;
  const bool context_shift_;
};

}  // namespace lockstep
