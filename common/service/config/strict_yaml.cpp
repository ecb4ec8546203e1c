#include "common/service/config/strict_yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "common/log.h"

namespace lockstep {
namespace {

Error at(std::string_view file, int line, const std::string& what) {
  return Error{ErrorCode::kInvalidRequest, str(file, ":", line, ": ", what), ""};
}

int line_of(const YAML::Node& node) { return node.Mark().line + 1; }

Result<std::vector<YamlEntry>> entries_of(const YAML::Node& map, std::string_view file, int depth);

// Adds an item of a list: a scalar, or a flat map if the list is a value of the top-level map.
Status add_item(const YAML::Node& item, std::string_view file, int depth, YamlEntry& entry) {
  if (item.IsScalar() && entry.records.empty()) {
    entry.values.push_back(item.Scalar());
  } else if (item.IsMap() && entry.values.empty() && depth == 0) {
    TRY(std::vector<YamlEntry> entries, entries_of(item, file, depth + 1));
    entry.records.push_back({std::move(entries), line_of(item)});
  } else {
    return at(file, line_of(item),
              entry.key + (depth == 0 ? ": a list of plain values, or one of maps of them"
                                      : ": a list of plain values"));
  }
  return Ok{};
}

Result<YamlEntry> entry_of(const YAML::Node& key, const YAML::Node& value, std::string_view file,
                           int depth) {
  if (!key.IsScalar()) return at(file, line_of(key), "a key must be a plain name");
  YamlEntry entry{.key = key.Scalar(),
                  .values = {},
                  .records = {},
                  .is_list = value.IsSequence(),
                  .line = line_of(key)};
  if (value.IsScalar()) {
    entry.values.push_back(value.Scalar());
  } else if (value.IsSequence()) {
    for (const YAML::Node& item : value) {
      TRY([[maybe_unused]] const Ok added, add_item(item, file, depth, entry));
    }
  } else {
    return at(file, entry.line, entry.key + ": a value or a list of values is missing");
  }
  return entry;
}

Result<std::vector<YamlEntry>> entries_of(const YAML::Node& map, std::string_view file, int depth) {
  std::vector<YamlEntry> entries;
  for (const auto& pair : map) {
    TRY(YamlEntry entry, entry_of(pair.first, pair.second, file, depth));
    for (const YamlEntry& earlier : entries) {
      if (earlier.key == entry.key) {
        return at(file, entry.line,
                  str("'", entry.key, "' is given twice, first on line ", earlier.line));
      }
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

Result<std::vector<YamlEntry>> parse_flat_yaml(std::string_view text, std::string_view file_name) {
  try {
    const YAML::Node root = YAML::Load(std::string(text));
    if (root.IsNull()) return std::vector<YamlEntry>{};
    if (!root.IsMap()) return at(file_name, line_of(root), "the file must be a map of settings");
    return entries_of(root, file_name, 0);
  } catch (const YAML::Exception& error) {
    return at(file_name, error.mark.line + 1, error.msg);
  }
}

std::string quote_yaml(std::string_view text) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:+").find(c) != std::string_view::npos;
  };
  const bool is_null = text == "null" || text == "Null" || text == "NULL";
  if (!text.empty() && !is_null && std::all_of(text.begin(), text.end(), is_plain) &&
      text.front() != '-' && text.front() != ':' && text.back() != ':') {
    return std::string(text);
  }
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += "\\x";
      out += "0123456789abcdef"[c >> 4];
      out += "0123456789abcdef"[c & 0xF];
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace lockstep
