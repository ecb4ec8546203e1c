// Config: a program's settings from YAML and the command line, each field named once.
//
//   struct NodeConfig {
//     int64_t block_size = 16;
//     template <class V> void visit_fields(V& v) {
//       v(block_size, "block_size", "tokens", "tokens per KV block; a power of two");
//     }
//   };
//   NodeConfig config;
//   ConfigSource source("lockstep-node", "serves one model");
//   source.positional("model");
//   source.add(config);
//   if (auto exit_code = source.load(argc, argv)) return *exit_code;
//
// One list gives the YAML keys (block_size:), the flags (--block-size), --help and --print-config.
// A switch may have a second name that says the opposite (no_cache_prompt for prefix_cache), for
// what other programs call it: read like any other, never printed, and an error beside a first name
// that says otherwise. Precedence: default, then --config FILE, then flags. An unknown or duplicate
// key, an unknown flag and a value of the wrong type are errors that name file, line and the
// nearest name.
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

// The value of a field that is a list of maps, each the fields of one struct:
//   tenants:
//     - {name: gold, floor: 100}
// As a flag, each use of it gives one: --tenants '{name: gold, floor: 100}'.
class RecordList {
 public:
  virtual ~RecordList() = default;
  virtual void clear() = 0;
  // Appends a default one; its fields, which are good until the next is appended. `where` it was
  // written: "node.yaml:12".
  virtual FieldList append(const std::string& where) = 0;
  virtual std::vector<FieldList> all() = 0;
};

// Where a field's value lives. An empty optional means "not given": the program decides.
using FieldTarget =
    std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*,
                 std::optional<int64_t>*, std::optional<double>*, std::shared_ptr<RecordList>>;

struct ConfigField {
  FieldTarget target;
  std::string name;  // as in YAML: block_size
  std::string unit;  // "tokens", "bytes"; empty for names and switches
  std::string help;
  std::string opposite;  // a switch's second name, which sets it to the reverse; empty = none

  bool is_reversed_by(std::string_view key) const { return !key.empty() && key == opposite; }
};

// Collects fields; pass it to visit_fields.
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

// Structs with visit_fields and a string `where`.
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

  // The field that the first bare argument fills (also available as a flag).
  void positional(std::string field_name);
  // Adds a struct's fields. Two structs may share a name; both then get the value.
  template <class Config>
  void add(Config& config) {
    config.visit_fields(fields_);
  }

  // Reads the command line and the file it names into the fields. Returns an exit code when the
  // program is to end now: 0 after --help, --version or --print-config, 2 after an error, which is
  // then on standard error in one line. argv[0] is skipped.
  std::optional<int> load(int argc, const char* const* argv);
  // True if --check was given: validate everything, print "ok", exit 0 (the program's own checks
  // come after load()).
  bool check_only() const { return check_only_; }

  // The parts of load(), for tests.
  Status apply_yaml(std::string_view text, std::string_view file_name);
  Status apply_flag(std::string_view field_name, const std::vector<std::string>& values);
  std::string to_yaml() const;  // the effective settings, commented

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
