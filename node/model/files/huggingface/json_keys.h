// JSON files of a model's folder. parse_json() refuses what a reader could take in two ways: a key
// that appears twice, and nesting deeper than any such file has. JsonKeys reads the keys of one
// object; a value of the wrong type is a LoadError naming file, key and both types. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::hf {

inline constexpr int kMaxJsonDepth = 16;
// Far above config files (some kB) and the largest index of tensors (some MB). A tree in memory is
// about ten times its text.
inline constexpr size_t kMaxJsonBytes = size_t{16} << 20;
inline constexpr size_t kMaxTokenizerBytes = size_t{64} << 20;  // the largest have 35 MB

// `name`: what errors call the text, such as "config.json". Throws LoadError, with the offset of a
// syntax error, unless the text is one JSON object.
nlohmann::json parse_json(std::string_view text, const std::string& name);

// Reads and parses a file of at most max_bytes. Absent: nullopt.
std::optional<nlohmann::json> read_json(const std::string& folder, const std::string& name,
                                        size_t max_bytes = kMaxJsonBytes);
// The bytes of such a file. Absent: nullopt. Throws LoadError.
std::optional<std::string> read_text(const std::string& folder, const std::string& name,
                                     size_t max_bytes = kMaxJsonBytes);

// The value if it is an integer in [0, n).
std::optional<size_t> index_below(const nlohmann::json& value, size_t n);

// A value's type as messages name it.
const char* type_name(const nlohmann::json& value);

// A view; the object must outlive it. A key whose value is null counts as absent.
class JsonKeys {
 public:
  // where: "config.json", or the path of an object inside it, such as "config.json: rope_scaling".
  JsonKeys(std::string where, const nlohmann::json& object);

  const std::string& where() const { return where_; }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  // "config.json: key 'k'", for messages.
  std::string describe(std::string_view key) const;

  std::vector<std::string> names() const;  // of all keys whose values are not null
  const nlohmann::json* find(std::string_view key) const;
  std::optional<int64_t> find_integer(std::string_view key) const;
  std::optional<double> find_number(std::string_view key) const;  // finite
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string> find_string(std::string_view key) const;
  std::optional<JsonKeys> find_object(std::string_view key) const;
  const nlohmann::json* find_array(std::string_view key) const;

  // These throw LoadError for an absent key, integer() also for a value outside [low, high].
  int64_t integer(std::string_view key, int64_t low, int64_t high) const;
  std::optional<int64_t> find_integer(std::string_view key, int64_t low, int64_t high) const;
  double number(std::string_view key) const;

  // Throws LoadError naming the first key that `known` does not list, unless its value is null.
  void refuse_unknown(std::span<const std::string_view> known) const;

 private:
  [[noreturn]] void wrong_type(std::string_view key, const nlohmann::json& value,
                               const char* wanted) const;

  std::string where_;
  const nlohmann::json& object_;
};

}  // namespace lockstep::hf
