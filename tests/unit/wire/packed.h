// MessagePack bytes by another library's encoder.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lockstep::wire {

// The members of maps in the order of their names.
inline std::string packed(const nlohmann::json& value) {
  const std::vector<uint8_t> bytes = nlohmann::json::to_msgpack(value);
  return {bytes.begin(), bytes.end()};
}

// The members of maps as they were added.
inline std::string packed_in_order(const nlohmann::ordered_json& value) {
  const std::vector<uint8_t> bytes = nlohmann::ordered_json::to_msgpack(value);
  return {bytes.begin(), bytes.end()};
}

}  // namespace lockstep::wire
