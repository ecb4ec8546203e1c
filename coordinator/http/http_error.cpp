#include "coordinator/http/http_error.h"

#include <nlohmann/json.hpp>

namespace lockstep {

using nlohmann::ordered_json;

std::string error_body(const Error& error) {
  const ordered_json param =
      error.param.empty() ? ordered_json(nullptr) : ordered_json(error.param);
  const ordered_json body = {{"message", error.message},
                             {"type", openai_error_type(error.code)},
                             {"param", param},
                             {"code", to_string(error.code)}};
  return ordered_json{{"error", body}}.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

HttpResponse error_response(const Error& error) {
  HttpResponse response;
  response.status = http_status(error.code);
  response.body = error_body(error);
  const bool is_temporary = response.status == 429 || response.status == 503;
  if (is_temporary) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace lockstep
