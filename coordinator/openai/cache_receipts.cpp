#include "coordinator/openai/cache_receipts.h"

#include <iomanip>
#include <sstream>

#include "coordinator/openai/openai_request.h"

namespace lockstep {
namespace {

std::string to_text(const wire::CacheReceipt& receipt) {
  std::ostringstream out;
  out << receipt.outcome << "; matched=" << receipt.matched_tokens
      << "; divergent=" << receipt.divergent_at;
  if (receipt.evicted_seconds) {
    out << "; evicted_seconds=" << std::fixed << std::setprecision(1) << *receipt.evicted_seconds;
  }
  return out.str();
}

}  // namespace

void CacheReceipts::done(const wire::Done& done) {
  if (!done.cache_receipt) return;
  of_prompt_[prompt_index(done.request_id)] = to_text(*done.cache_receipt);
}

std::string CacheReceipts::text() const {
  std::string all;
  for (const auto& [prompt, text] : of_prompt_) all += (all.empty() ? "" : ", ") + text;
  return all;
}

}  // namespace lockstep
