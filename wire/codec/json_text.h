// The text of a JSON tree, as bodies and pages send it. Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lockstep {

// Ill-formed UTF-8 becomes U+FFFD.
inline std::string json_text(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace lockstep
