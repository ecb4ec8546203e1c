// Within one HTTP request, the request_id of a prompt is its index. Pure.
#pragma once

#include <charconv>
#include <string>

namespace lockstep {

inline std::string prompt_id(size_t index) { return std::to_string(index); }

inline size_t prompt_index(const std::string& request_id) {
  size_t index = 0;
  std::from_chars(request_id.data(), request_id.data() + request_id.size(), index);
  return index;
}

}  // namespace lockstep
