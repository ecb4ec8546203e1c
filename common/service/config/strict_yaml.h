// strict_yaml: parses the YAML of settings files: a map of scalars, lists of scalars and lists of
// flat maps. It uses yaml-cpp, but refuses duplicate keys, which yaml-cpp accepts silently. Knows
// no field names. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep {

struct YamlRecord;

struct YamlEntry {
  std::string key;
  std::vector<std::string> values;  // exactly one unless is_list
  std::vector<YamlRecord> records;  // the items of a list of maps; then `values` is empty
  bool is_list = false;
  int line = 0;  // counted from 1
};

struct YamlRecord {
  std::vector<YamlEntry> entries;
  int line = 0;
};

// Error messages have the form "FILE:LINE: what".
Result<std::vector<YamlEntry>> parse_flat_yaml(std::string_view text, std::string_view file_name);

// Returns the scalar, quoted if YAML would not parse it as this string.
std::string quote_yaml(std::string_view text);

}  // namespace lockstep
