#include "coordinator/http/error_body.h"

#include <nlohmann/json.hpp>

#include "common/error_code.h"

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

}  // namespace lockstep
