// strict_yaml: a YAML map of scalars, lists of scalars and lists of flat maps, as our settings
// files are. yaml-cpp does the parsing but takes duplicate keys silently; this does not. Knows no
// field names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep {

struct YamlRecord;

struct YamlEntry {
  std::string key;
  std::vector<std::string> values;  // one unless is_list
  std::vector<YamlRecord> records;  // of a list of maps; then there are no values
  bool is_list = false;
  int line = 0;  // counted from 1
};

struct YamlRecord {
  std::vector<YamlEntry> entries;
  int line = 0;
};

// Errors read "FILE:LINE: what".
Result<std::vector<YamlEntry>> parse_flat_yaml(std::string_view text, std::string_view file_name);

// The scalar, quoted if YAML would read it as something other than this string.
std::string quote_yaml(std::string_view text);

}  // namespace lockstep
