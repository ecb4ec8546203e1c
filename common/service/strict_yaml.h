// strict_yaml: a flat YAML map of scalars and lists of scalars, as our settings files are. yaml-cpp
// does the parsing but takes duplicate keys silently; this does not. Knows no field names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep {

struct YamlEntry {
  std::string key;
  std::vector<std::string> values;  // one unless is_list
  bool is_list = false;
  int line = 0;  // counted from 1
};

// Errors read "FILE:LINE: what".
Result<std::vector<YamlEntry>> parse_flat_yaml(std::string_view text, std::string_view file_name);

// The scalar, quoted if YAML would read it as something other than this string.
std::string quote_yaml(std::string_view text);

}  // namespace lockstep
