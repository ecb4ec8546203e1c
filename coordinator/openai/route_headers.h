// The headers about routing: X-Session-ID and X-Route-Receipt of a request, and X-Route-Receipt of
// its response. docs/routing.md describes them. Any thread, one at a time.
#pragma once

#include <map>
#include <string>

#include "common/result.h"
#include "common/service/http/http_message.h"
#include "coordinator/openai/openai_request.h"

namespace lockstep {

// X-Session-ID stands in for a prompt_cache_key that the body leaves out. Any X-Route-Receipt asks
// for receipts. Error: kInvalidRequest naming "x-session-id" if it is too long.
Status read_route_headers(const HttpRequest& http, OpenAiRequest& request);

// Collects why each prompt of a request went to its node.
class RouteReceipts {
 public:
  void take(const wire::Accepted& accepted);  // to be called once per prompt
  // Adds X-Route-Receipt: a JSON array with one object for each prompt that has a receipt, in the
  // order of the prompts. Adds nothing if there is none.
  void add_to(HttpHeaders& headers) const;

 private:
  std::map<size_t, std::string> of_prompt_;
};

}  // namespace lockstep
