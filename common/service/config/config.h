// ConfigSource: reads a program's settings from YAML and the command line. Each field is named
// once, in visit_fields. Used by main() before other threads start.
//
//   struct NodeConfig {
//     int64_t block_size = 16;
//     template <class V> void visit_fields(V& v) {
//       v.group("KV cache");
//       v(block_size, "block_size", "tokens", "Number of tokens in a KV block; a power of two.");
//     }
//   };
//   NodeConfig config;
//   ConfigSource source("lockstep-node", "Serves one model.");
//   source.positional("model");
//   source.add(config);
//   if (auto exit_code = source.load(argc, argv)) return *exit_code;
//
// One list gives the YAML keys (block_size:), the flags (--block-size), --help and --print-config.
// A help text is one or more whole sentences; the default is not part of it, because --help adds
// the field's value and YAML shows it. A switch may have a second name with the opposite meaning
// (no_cache_prompt for prefix_cache), which other programs use: it is read like any other name,
// never printed, and an error beside a first name that contradicts it. Precedence: default, then
// --config FILE, then flags. An unknown or duplicate key, an unknown flag and a value of the wrong
// type are errors that name file, line and the nearest name.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "common/result.h"

namespace lockstep {

class FieldList;

// The value of a field that is a list of maps, each with the fields of one struct:
//   tenants:
//     - {name: gold, floor: 100}
// Each use of the flag appends one map: --tenants '{name: gold, floor: 100}'.
class RecordList {
 public:
  virtual ~RecordList() = default;
  virtual void clear() = 0;
  // Appends a record with default values and returns its fields, which are valid until the next
  // record is appended. `where` names its place in the settings: "node.yaml:12".
  virtual FieldList append(const std::string& where) = 0;
  virtual std::vector<FieldList> all() = 0;
  virtual FieldList defaults() = 0;  // the fields of a record that is not in the list
};

// The variable that holds a field's value. An empty optional means "not given": the program
// decides.
using FieldTarget =
    std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*,
                 std::optional<int64_t>*, std::optional<double>*, std::shared_ptr<RecordList>>;

struct ConfigField {
  FieldTarget target;
  std::string name;      // as in YAML: block_size
  std::string unit;      // a number's: "tokens", "bytes", "ms"; a text's form: "PATH", "auto|none"
  std::string help;      // whole sentences, without the default
  std::string opposite;  // a switch's second name, which sets it to the reverse; empty = none
  std::string group;     // the heading that the field stands under; may be empty

  bool is_reversed_by(std::string_view key) const { return !key.empty() && key == opposite; }
  // What a value looks like: INT, FLOAT, BYTES, MS, SECONDS, BOOL, TEXT or the form of a text.
  std::string type() const;
  // The value as YAML; empty for an empty optional.
  std::string yaml_value() const;
  // "Default 16." for the value that the field has now.
  std::string default_sentence() const;
  // For a list of maps, a line for each of their keys: "\n  floor: Help. Default 0. [INT]".
  std::string keys_text() const;
};

// A setting of other engines that has no counterpart here.
struct UnneededSetting {
  std::string name;  // as in YAML: swap_space
  std::string why;   // it is not needed; a clause
};

// FieldList: the visitor that collects a struct's fields; pass it to visit_fields.
class FieldList {
 public:
  template <class T>
  void operator()(T& field, std::string name, std::string unit, std::string help) {
    fields_.push_back(
        {target(field), std::move(name), std::move(unit), std::move(help), "", group_});
  }
  void operator()(bool& field, std::string name, std::string unit, std::string help,
                  std::string opposite) {
    fields_.push_back({FieldTarget(&field), std::move(name), std::move(unit), std::move(help),
                       std::move(opposite), group_});
  }
  // The fields that follow stand under this heading. A heading may be given more than once.
  void group(std::string heading) { group_ = std::move(heading); }
  // The flag is accepted, with or without a number, and logs `why`. The YAML key is an error that
  // contains `why`. Neither --help nor --print-config shows the setting.
  void unneeded(std::string name, std::string why) {
    unneeded_.push_back({std::move(name), std::move(why)});
  }
  const std::vector<ConfigField>& fields() const { return fields_; }
  const std::vector<UnneededSetting>& unneeded() const { return unneeded_; }
  std::vector<std::string> groups() const;  // each heading once, in the order of first use

 private:
  template <class T>
  static FieldTarget target(T& field);

  std::vector<ConfigField> fields_;
  std::vector<UnneededSetting> unneeded_;
  std::string group_;
};

// RecordsOf: a RecordList of structs that have visit_fields and a string `where`.
template <class T>
class RecordsOf final : public RecordList {
 public:
  explicit RecordsOf(std::vector<T>& records) : records_(records) {}
  void clear() override { records_.clear(); }
  FieldList append(const std::string& where) override {
    records_.emplace_back().where = where;
    return fields_of(records_.back());
  }
  std::vector<FieldList> all() override {
    std::vector<FieldList> out;
    out.reserve(records_.size());
    for (T& record : records_) out.push_back(fields_of(record));
    return out;
  }
  FieldList defaults() override { return fields_of(default_); }

 private:
  static FieldList fields_of(T& record) {
    FieldList fields;
    record.visit_fields(fields);
    return fields;
  }

  std::vector<T>& records_;
  T default_;
};

template <class T>
FieldTarget FieldList::target(T& field) {
  if constexpr (std::is_constructible_v<FieldTarget, T*>) {
    return &field;
  } else {
    return std::shared_ptr<RecordList>(std::make_shared<RecordsOf<typename T::value_type>>(field));
  }
}

class ConfigSource {
 public:
  ConfigSource(std::string program, std::string description);

  // The field that the first bare argument fills. The field keeps its flag.
  void positional(std::string field_name);
  // Adds a struct's fields. If two structs have a field of the same name, both get the value.
  template <class Config>
  void add(Config& config) {
    fields_.group("");
    config.visit_fields(fields_);
  }

  // Reads the command line and the file that it names into the fields. Returns an exit code if the
  // program must end now: 0 after --help, --version or --print-config, 2 after an error, which has
  // been printed to standard error in one line. argv[0] is skipped.
  std::optional<int> load(int argc, const char* const* argv);
  // True if --check was given. The program then runs its own checks, prints "ok" and exits with 0.
  bool check_only() const { return check_only_; }

  // The steps of load(), public for tests.
  Status apply_yaml(std::string_view text, std::string_view file_name);
  Status apply_flag(std::string_view field_name, const std::vector<std::string>& values);
  std::string to_yaml() const;  // the effective settings with their help as comments

 private:
  std::string nearest(std::string_view name) const;

  std::string program_;
  std::string description_;
  std::string positional_;
  FieldList fields_;
  bool check_only_ = false;
};

// "--block-size" for block_size.
std::string flag_name(std::string_view field_name);

// The text in lines of at most `columns` characters, where words allow it. A line that begins with
// spaces is continued with two more of them.
std::vector<std::string> wrapped(std::string_view text, size_t columns);

}  // namespace lockstep
