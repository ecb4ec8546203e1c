// ConfigSource: reads a program's settings from YAML and the command line. Each field is named
// once, in visit_fields. Used by main() before other threads start.
//
//   struct NodeConfig {
//     int64_t block_size = 16;
//     template <class V> void visit_fields(V& v) {
//       v(block_size, "block_size", "tokens", "Tokens per KV block, a power of two.");
//     }
//   };
//   NodeConfig config;
//   ConfigSource source("lockstep-node", "Serves one model.");
//   source.positional("model");
//   source.add(config);
//   if (auto exit_code = source.load(argc, argv)) return *exit_code;
//
// The fields give the YAML keys (block_size:), the flags (--block-size), --help and --print-config.
//
// - Precedence: flags override the file that --config FILE names, and the file overrides the
//   defaults.
// - Errors: an unknown or duplicate key, an unknown flag and a value of the wrong type are errors.
//   The error names the file, the line and the nearest valid name.
// - Opposite names: a boolean may have a second name with the opposite meaning, as other programs
//   call it (no_cache_prompt for prefix_cache). The second name is read but never printed. Giving
//   both names the same value is an error, because they contradict each other.
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

// RecordList: the value of a field that is a list of maps. Each map has the fields of one struct:
//   tenants:
//     - {name: gold, floor: 100}
// On the command line, each use of the flag adds one map: --tenants '{name: gold, floor: 100}'.
class RecordList {
 public:
  virtual ~RecordList() = default;
  virtual void clear() = 0;
  // Appends a record with default values and returns its fields, which are valid until the next
  // append. `where` is the record's place in the settings: "node.yaml:12".
  virtual FieldList append(const std::string& where) = 0;
  virtual std::vector<FieldList> all() = 0;
};

// The variable that a field is stored in. An empty optional means that the field was not given and
// the program chooses the value.
using FieldTarget =
    std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*,
                 std::optional<int64_t>*, std::optional<double>*, std::shared_ptr<RecordList>>;

struct ConfigField {
  FieldTarget target;
  std::string name;  // the YAML key: block_size
  std::string unit;  // "tokens", "bytes"; empty for names and booleans
  std::string help;
  std::string opposite;  // a boolean's second name with the opposite meaning; empty = none

  bool is_reversed_by(std::string_view key) const { return !key.empty() && key == opposite; }
};

// FieldList: the visitor that collects a struct's fields; pass it to visit_fields.
class FieldList {
 public:
  template <class T>
  void operator()(T& field, std::string name, std::string unit, std::string help) {
    fields_.push_back({target(field), std::move(name), std::move(unit), std::move(help), ""});
  }
  void operator()(bool& field, std::string name, std::string unit, std::string help,
                  std::string opposite) {
    fields_.push_back({FieldTarget(&field), std::move(name), std::move(unit), std::move(help),
                       std::move(opposite)});
  }
  const std::vector<ConfigField>& fields() const { return fields_; }

 private:
  template <class T>
  static FieldTarget target(T& field);

  std::vector<ConfigField> fields_;
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

 private:
  static FieldList fields_of(T& record) {
    FieldList fields;
    record.visit_fields(fields);
    return fields;
  }

  std::vector<T>& records_;
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

  // Sets the field that the first argument without a flag fills; the field has its flag as well.
  void positional(std::string field_name);
  // Adds a struct's fields. If two structs have a field of the same name, both get the value.
  template <class Config>
  void add(Config& config) {
    config.visit_fields(fields_);
  }

  // Reads the command line and the file that it names into the fields; argv[0] is skipped. Returns
  // an exit code if the program must end now: 0 after --help, --version or --print-config, 2 after
  // an error, which was printed to standard error in one line.
  std::optional<int> load(int argc, const char* const* argv);
  // True if --check was given: the program must run its own checks after load(), print "ok" and
  // exit with code 0.
  bool check_only() const { return check_only_; }

  // The steps of load(), public for tests.
  Status apply_yaml(std::string_view text, std::string_view file_name);
  Status apply_flag(std::string_view field_name, const std::vector<std::string>& values);
  std::string to_yaml() const;  // the settings in effect, with the help as comments

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

}  // namespace lockstep
