#include "common/service/config/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <utility>

#include "common/log.h"
#include "common/service/config/strict_yaml.h"

namespace lockstep {
namespace {

constexpr size_t kCommentColumns = 98;  // beside "# "

Error bad_value(const ConfigField& field, std::string_view text, std::string_view wanted) {
  return Error{ErrorCode::kInvalidRequest,
               str(field.name, ": '", text, "' is not ", wanted,
                   field.unit.empty() ? "" : " (" + field.unit + ")"),
               field.name};
}

Result<bool> parse_bool(const ConfigField& field, std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return bad_value(field, text, "true or false");
}

Result<int64_t> parse_integer(const ConfigField& field, std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return bad_value(field, text, "a whole number");
  }
  return value;
}

Result<double> parse_number(const ConfigField& field, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return bad_value(field, text, "a finite number");
  }
  return value;
}

Status append_record(RecordList& records, const std::vector<YamlEntry>& entries,
                     std::string_view file, const std::string& where);

// Stores the parsed text in the field. A list field stores every value, any other field the last.
struct Assign {
  const ConfigField& field;
  const std::vector<std::string>& values;

  Status operator()(bool* target) const {
    TRY(*target, parse_bool(field, values.back()));
    return Ok{};
  }
  Status operator()(int64_t* target) const {
    TRY(*target, parse_integer(field, values.back()));
    return Ok{};
  }
  Status operator()(std::optional<int64_t>* target) const {
    TRY(*target, parse_integer(field, values.back()));
    return Ok{};
  }
  Status operator()(double* target) const {
    TRY(*target, parse_number(field, values.back()));
    return Ok{};
  }
  Status operator()(std::optional<double>* target) const {
    TRY(*target, parse_number(field, values.back()));
    return Ok{};
  }
  Status operator()(std::string* target) const {
    *target = values.back();
    return Ok{};
  }
  Status operator()(std::vector<std::string>* target) const {
    *target = values;
    return Ok{};
  }
  Status operator()(const std::shared_ptr<RecordList>& target) const {
    const std::string flag = flag_name(field.name);
    target->clear();
    for (const std::string& value : values) {
      TRY(const std::vector<YamlEntry> entries, parse_flat_yaml(value, flag));
      TRY([[maybe_unused]] const Ok added, append_record(*target, entries, flag, flag));
    }
    return Ok{};
  }
};

struct ToYaml {
  std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
  std::string operator()(const int64_t* v) const { return std::to_string(*v); }
  std::string operator()(const std::optional<int64_t>* v) const {
    return v->has_value() ? std::to_string(**v) : "";
  }
  std::string operator()(const double* v) const {  // the shortest text that reads back the same
    char digits[32];
    return {digits, std::to_chars(std::begin(digits), std::end(digits), *v).ptr};
  }
  std::string operator()(const std::optional<double>* v) const {
    return v->has_value() ? (*this)(&**v) : "";
  }
  std::string operator()(const std::string* v) const { return quote_yaml(*v); }
  std::string operator()(const std::vector<std::string>* v) const {
    std::string out = "[";
    for (const std::string& item : *v) out += (out.size() > 1 ? ", " : "") + quote_yaml(item);
    return out + "]";
  }
  std::string operator()(const std::shared_ptr<RecordList>& v) const {
    std::string out = "[";
    for (const FieldList& record : v->all()) {
      out += out.size() > 1 ? ", {" : "{";
      for (const ConfigField& field : record.fields()) {
        if (out.back() != '{') out += ", ";
        out += field.name + ": " + field.yaml_value();
      }
      out += "}";
    }
    return out + "]";
  }
};

bool is_record_list(const ConfigField& field) {
  return std::holds_alternative<std::shared_ptr<RecordList>>(field.target);
}
bool is_list(const ConfigField& field) {
  return std::holds_alternative<std::vector<std::string>*>(field.target) || is_record_list(field);
}

void flip(const ConfigField& field) {
  bool* value = std::get<bool*>(field.target);  // only booleans have an opposite name
  *value = !*value;
}

// If the entry is a switch's opposite: the entry that gives the switch the same value. Else null.
const YamlEntry* contradicted(const YamlEntry& entry, const ConfigField& field,
                              const std::vector<YamlEntry>& entries) {
  if (!field.is_reversed_by(entry.key)) return nullptr;
  const auto other = std::find_if(entries.begin(), entries.end(), [&](const YamlEntry& candidate) {
    return candidate.key == field.name && candidate.values == entry.values;
  });
  return other == entries.end() ? nullptr : &*other;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

const ConfigField* find(const FieldList& fields, std::string_view name) {
  for (const ConfigField& field : fields.fields()) {
    if (field.name == name || field.is_reversed_by(name)) return &field;
  }
  return nullptr;
}

std::string nearest_name(const FieldList& fields, std::string_view name) {
  std::string best;
  size_t best_distance = std::max<size_t>(3, name.size() / 2);
  const auto consider = [&](const std::string& candidate) {
    const size_t distance = edit_distance(name, candidate);
    if (distance >= best_distance) return;
    best_distance = distance;
    best = candidate;
  };
  for (const ConfigField& field : fields.fields()) {
    consider(field.name);
    if (!field.opposite.empty()) consider(field.opposite);
  }
  return best;
}

Error unknown_key(const FieldList& fields, const std::string& key, const std::string& where) {
  for (const UnneededSetting& setting : fields.unneeded()) {
    if (setting.name != key) continue;
    return {ErrorCode::kInvalidRequest,
            str(where, key, " is a setting of other engines and not needed here: ", setting.why,
                "; remove the key"),
            key};
  }
  const std::string guess = nearest_name(fields, key);
  return {
      ErrorCode::kInvalidRequest,
      str(where, "unknown key '", key, "'", guess.empty() ? "" : "; did you mean '" + guess + "'?"),
      key};
}

// Checks that the entry has the shape of the field: one value, plain values or maps.
Status check_shape(const YamlEntry& entry, const ConfigField& field, const std::string& where) {
  const char* wanted = nullptr;
  if (entry.is_list != is_list(field)) {
    wanted = entry.is_list ? " takes one value" : " takes a list";
  } else if (is_record_list(field) ? !entry.values.empty() : !entry.records.empty()) {
    wanted = is_record_list(field) ? " takes a list of maps" : " takes a list of plain values";
  }
  if (wanted == nullptr) return Ok{};
  return Error{ErrorCode::kInvalidRequest, str(where, entry.key, wanted), entry.key};
}

Status append_record(RecordList& records, const std::vector<YamlEntry>& entries,
                     std::string_view file, const std::string& where) {
  const FieldList fields = records.append(where);
  for (const YamlEntry& entry : entries) {
    const std::string place = str(file, ":", entry.line, ": ");
    const ConfigField* field = find(fields, entry.key);
    if (field == nullptr) return unknown_key(fields, entry.key, place);
    TRY([[maybe_unused]] const Ok fits, check_shape(entry, *field, place));
    const Status assigned = std::visit(Assign{*field, entry.values}, field->target);
    if (!assigned) return Error{assigned.error().code, place + assigned.error().message, entry.key};
  }
  return Ok{};
}

Status set_records(RecordList& records, const YamlEntry& entry, std::string_view file) {
  records.clear();
  for (const YamlRecord& record : entry.records) {
    TRY([[maybe_unused]] const Ok added,
        append_record(records, record.entries, file, str(file, ":", record.line)));
  }
  return Ok{};
}

// Writes the field's help as the comment above its key.
void write_comment(const ConfigField& field, std::ostream& out) {
  const std::string text = str(field.help, " [", field.type(), "]", field.keys_text());
  for (const std::string& line : wrapped(text, kCommentColumns)) out << "# " << line << "\n";
}

}  // namespace

std::string ConfigField::type() const {
  if (std::holds_alternative<bool*>(target)) return "BOOL";
  if (std::holds_alternative<double*>(target) ||
      std::holds_alternative<std::optional<double>*>(target)) {
    return "FLOAT";
  }
  if (std::holds_alternative<int64_t*>(target) ||
      std::holds_alternative<std::optional<int64_t>*>(target)) {
    if (unit == "bytes") return "BYTES";
    if (unit == "seconds") return "SECONDS";
    return unit == "ms" ? "MS" : "INT";
  }
  return unit.empty() ? "TEXT" : unit;
}

std::string ConfigField::yaml_value() const { return std::visit(ToYaml{}, target); }

std::string ConfigField::default_sentence() const {
  const std::string value = yaml_value();
  if (value.empty()) return "Absent by default.";
  return value == "\"\"" || value == "[]" ? "Empty by default." : "Default " + value + ".";
}

std::string ConfigField::keys_text() const {
  if (!is_record_list(*this)) return "";
  std::string out;
  const FieldList keys = std::get<std::shared_ptr<RecordList>>(target)->defaults();
  for (const ConfigField& key : keys.fields()) {
    out +=
        str("\n  ", key.name, ": ", key.help, " ", key.default_sentence(), " [", key.type(), "]");
  }
  return out;
}

std::vector<std::string> FieldList::groups() const {
  std::vector<std::string> out;
  for (const ConfigField& field : fields_) {
    if (std::find(out.begin(), out.end(), field.group) == out.end()) out.push_back(field.group);
  }
  return out;
}

std::vector<std::string> wrapped(std::string_view text, size_t columns) {
  std::vector<std::string> out;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const size_t indent = std::min(line.find_first_not_of(' '), line.size());
    std::istringstream words(line);
    std::string current(indent, ' ');
    bool is_empty = true;
    for (std::string word; words >> word; is_empty = false) {
      if (!is_empty && current.size() + 1 + word.size() > columns) {
        out.push_back(std::exchange(current, std::string(indent > 0 ? indent + 2 : 0, ' ')));
        is_empty = true;
      }
      current += (is_empty ? "" : " ") + word;
    }
    out.push_back(current);
  }
  return out;
}

std::string flag_name(std::string_view field_name) {
  std::string flag = "--";
  for (char c : field_name) flag += c == '_' ? '-' : c;
  return flag;
}

ConfigSource::ConfigSource(std::string program, std::string description)
    : program_(std::move(program)), description_(std::move(description)) {}

void ConfigSource::positional(std::string field_name) { positional_ = std::move(field_name); }

std::string ConfigSource::nearest(std::string_view name) const {
  return nearest_name(fields_, name);
}

Status ConfigSource::apply_flag(std::string_view field_name,
                                const std::vector<std::string>& values) {
  for (const ConfigField& field : fields_.fields()) {
    const bool reversed = field.is_reversed_by(field_name);
    if (field.name != field_name && !reversed) continue;
    ConfigField named = field;  // an error contains the name that was given
    named.name = field_name;
    TRY([[maybe_unused]] Ok done, std::visit(Assign{named, values}, field.target));
    if (reversed) flip(field);
  }
  return Ok{};
}

Status ConfigSource::apply_yaml(std::string_view text, std::string_view file_name) {
  TRY(const std::vector<YamlEntry> entries, parse_flat_yaml(text, file_name));
  for (const YamlEntry& entry : entries) {
    const std::string where = str(file_name, ":", entry.line, ": ");
    const ConfigField* field = find(fields_, entry.key);
    if (field == nullptr) return unknown_key(fields_, entry.key, where);
    TRY([[maybe_unused]] const Ok fits, check_shape(entry, *field, where));
    if (const YamlEntry* other = contradicted(entry, *field, entries)) {
      return Error{ErrorCode::kInvalidRequest,
                   str(where, entry.key, ": ", entry.values.back(), " contradicts ", other->key,
                       ": ", other->values.back(), " on line ", other->line),
                   entry.key};
    }
    if (is_record_list(*field)) {
      RecordList& records = *std::get<std::shared_ptr<RecordList>>(field->target);
      TRY([[maybe_unused]] const Ok set, set_records(records, entry, file_name));
      continue;
    }
    Status applied = apply_flag(entry.key, entry.values);
    if (!applied) {
      return Error{applied.error().code, where + applied.error().message, entry.key};
    }
  }
  return Ok{};
}

std::string ConfigSource::to_yaml() const {
  std::ostringstream out;
  std::vector<std::string_view> seen;
  for (const std::string& group : fields_.groups()) {
    if (!group.empty()) out << (seen.empty() ? "" : "\n") << "## " << group << "\n";
    for (const ConfigField& field : fields_.fields()) {
      if (field.group != group) continue;
      if (std::find(seen.begin(), seen.end(), field.name) != seen.end()) continue;
      seen.push_back(field.name);
      write_comment(field, out);
      const std::string value = field.yaml_value();
      out << (value.empty() ? "# " : "") << field.name << ":" << (value.empty() ? "" : " ") << value
          << "\n";
    }
  }
  return out.str();
}

}  // namespace lockstep
