#include "common/service/config/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "common/log.h"
#include "common/service/config/strict_yaml.h"

namespace lockstep {
namespace {

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

// Parses the text and stores it in the field. A list takes every value; other fields take exactly
// one.
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
  std::string operator()(const double* v) const {  // the shortest text that parses to the same
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
        out += field.name + ": " + std::visit(ToYaml{}, field.target);
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

// If the entry uses a boolean's opposite name: returns the entry, if any, that gives the boolean's
// own name the same value, which contradicts it. Otherwise returns null.
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
  const std::string guess = nearest_name(fields, key);
  return {
      ErrorCode::kInvalidRequest,
      str(where, "unknown key '", key, "'", guess.empty() ? "" : "; did you mean '" + guess + "'?"),
      key};
}

// Checks that the entry has the shape that the field needs: a scalar, a list or a list of maps.
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

}  // namespace

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
    ConfigField named = field;  // errors use the name that was given
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
  for (const ConfigField& field : fields_.fields()) {
    if (std::find(seen.begin(), seen.end(), field.name) != seen.end()) continue;
    seen.push_back(field.name);
    out << "# " << field.help << (field.unit.empty() ? "" : " [" + field.unit + "]") << "\n";
    const std::string value = std::visit(ToYaml{}, field.target);
    out << (value.empty() ? "# " : "") << field.name << ":" << (value.empty() ? "" : " ") << value
        << "\n";
  }
  return out.str();
}

}  // namespace lockstep
