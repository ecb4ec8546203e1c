#include "coordinator/http/http_error.h"

#include <nlohmann/json.hpp>

#include "wire/codec/json_text.h"

namespace lockstep {

using nlohmann::ordered_json;

std::string error_body(const Error& error) {
  const ordered_json param =
      error.param.empty() ? ordered_json(nullptr) : ordered_json(error.param);
  const ordered_json body = {{"message", error.message},
                             {"type", openai_error_type(error.code)},
                             {"param", param},
                             {"code", to_string(error.code)}};
  return json_text(ordered_json{{"error", body}});
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
