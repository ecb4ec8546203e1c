// strict_yaml: parses a YAML map of scalars, lists of scalars and lists of flat maps, the form of a
// settings file. yaml-cpp does the parsing but accepts duplicate keys silently; here they are
// errors. Knows no field names.
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
  std::vector<YamlRecord> records;  // the maps of a list of maps, which has no values
  bool is_list = false;
  int line = 0;  // counted from 1
};

struct YamlRecord {
  std::vector<YamlEntry> entries;
  int line = 0;
};

// Error messages have the form "FILE:LINE: what".
Result<std::vector<YamlEntry>> parse_flat_yaml(std::string_view text, std::string_view file_name);

// Returns the scalar, quoted if YAML would otherwise read it as another value.
std::string quote_yaml(std::string_view text);

}  // namespace lockstep
