#include "coordinator/openai/route_headers.h"

#include "common/log.h"
#include "wire/limits.h"

namespace lockstep {

Status read_route_headers(const HttpRequest& http, OpenAiRequest& request) {
  if (http.session_id.size() > wire::kMaxPromptCacheKeyBytes)
    return Error{ErrorCode::kInvalidRequest,
                 str("x-session-id must be at most ", wire::kMaxPromptCacheKeyBytes,
                     " bytes long, not ", http.session_id.size()),
                 "x-session-id"};
  for (wire::Generate& prompt : request.prompts) {
    if (prompt.prompt_cache_key.empty()) prompt.prompt_cache_key = http.session_id;
    prompt.return_route_receipt = !http.route_receipt.empty();
  }
  return Ok{};
}

void RouteReceipts::take(const wire::Accepted& accepted) {
  if (!accepted.route_receipt.empty())
    of_prompt_[prompt_index(accepted.request_id)] = accepted.route_receipt;
}

void RouteReceipts::add_to(HttpHeaders& headers) const {
  if (of_prompt_.empty()) return;
  std::string all;
  for (const auto& [index, receipt] : of_prompt_) all += (all.empty() ? "[" : ",") + receipt;
  headers.emplace_back("X-Route-Receipt", all + "]");
}

}  // namespace lockstep
