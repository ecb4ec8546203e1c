#include "node/model/files/huggingface/json_keys.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <utility>
#include <vector>

#include "node/model/files/shared/load_failure.h"
#include "node/model/files/shared/mapped_file.h"

namespace lockstep::hf {
namespace {

using nlohmann::json;

// Builds the tree of a text.
class TreeBuilder final : public nlohmann::json_sax<json> {
 public:
  explicit TreeBuilder(const std::string& name) : name_(name) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(int64_t value) override { return add(value); }
  bool number_unsigned(uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(json::binary_t&) override { return false; }  // JSON text has no binary values
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    if (open_.back()->contains(name))
      fail(name_, ": key ", lockstep::quoted(name), " appears twice");
    key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    fail(name_, " is not valid JSON at byte ", position);
  }

  json take() { return std::move(root_); }

 private:
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json container) {
    if (open_.size() >= kMaxJsonDepth) fail(name_, " nests deeper than ", kMaxJsonDepth);
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  // The returned address stays valid while the value is open, because its parent does not change
  // meanwhile.
  json* place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    json& slot = parent[key_];
    slot = std::move(value);
    return &slot;
  }

  const std::string& name_;
  json root_;
  std::vector<json*> open_;
  std::string key_;
};

}  // namespace

json parse_json(std::string_view text, const std::string& name) {
  TreeBuilder builder(name);
  json::sax_parse(text.begin(), text.end(), &builder);
  json tree = builder.take();
  if (!tree.is_object()) fail(name, " is ", type_name(tree), ", not an object");
  return tree;
}

std::optional<std::string> read_text(const std::string& folder, const std::string& name,
                                     size_t max_bytes) {
  const std::string path = (std::filesystem::path(folder) / name).string();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  try {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    if (bytes.size() > max_bytes) fail("has ", bytes.size(), " bytes, more than ", max_bytes);
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    file.check_unchanged();
    return text;
  } catch (const LoadError& failure) {
    fail(name, ": ", failure.what());
  }
}

std::optional<json> read_json(const std::string& folder, const std::string& name,
                              size_t max_bytes) {
  const auto text = read_text(folder, name, max_bytes);
  if (!text) return std::nullopt;
  return parse_json(*text, name);
}

std::optional<size_t> index_below(const json& value, size_t n) {
  if (!value.is_number_integer()) return std::nullopt;
  if (!value.is_number_unsigned() && value.get<int64_t>() < 0) return std::nullopt;
  const auto index = value.get<uint64_t>();
  if (index >= n) return std::nullopt;
  return index;
}

const char* type_name(const json& value) {
  if (value.is_number_float()) return "a number with a fraction or an exponent";
  if (value.is_number()) return "an integer";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "true or false";
  if (value.is_array()) return "an array";
  return value.is_object() ? "an object" : "null";
}

JsonKeys::JsonKeys(std::string where, const json& object)
    : where_(std::move(where)), object_(object) {
  if (!object.is_object()) fail(where_, " is ", type_name(object), ", must be an object");
}

std::string JsonKeys::describe(std::string_view key) const {
  return where_ + ": key " + lockstep::quoted(key);
}

void JsonKeys::wrong_type(std::string_view key, const json& value, const char* wanted) const {
  fail(describe(key), " is ", type_name(value), ", must be ", wanted);
}

const json* JsonKeys::find(std::string_view key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> JsonKeys::find_integer(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) wrong_type(key, *value, "an integer");
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  if (value->is_number_unsigned() && value->get<uint64_t>() > kMax) {
    fail(describe(key), " is ", value->get<uint64_t>(), ", must be at most ", kMax);
  }
  return value->get<int64_t>();
}

std::optional<int64_t> JsonKeys::find_integer(std::string_view key, int64_t low,
                                              int64_t high) const {
  const auto value = find_integer(key);
  if (value && (*value < low || *value > high)) {
    fail(describe(key), " is ", *value, ", must be in ", low, "..", high);
  }
  return value;
}

std::optional<double> JsonKeys::find_number(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong_type(key, *value, "a number");
  return value->get<double>();
}

std::optional<bool> JsonKeys::find_bool(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong_type(key, *value, "true or false");
  return value->get<bool>();
}

std::optional<std::string> JsonKeys::find_string(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) wrong_type(key, *value, "a string");
  return value->get<std::string>();
}

std::optional<JsonKeys> JsonKeys::find_object(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) wrong_type(key, *value, "an object");
  return JsonKeys(where_ + ": " + std::string(key), *value);
}

const json* JsonKeys::find_array(std::string_view key) const {
  const json* value = find(key);
  if (value != nullptr && !value->is_array()) wrong_type(key, *value, "an array");
  return value;
}

int64_t JsonKeys::integer(std::string_view key, int64_t low, int64_t high) const {
  const auto value = find_integer(key, low, high);
  if (!value) fail(describe(key), " is missing");
  return *value;
}

double JsonKeys::number(std::string_view key) const {
  const auto value = find_number(key);
  if (!value) fail(describe(key), " is missing");
  return *value;
}

std::vector<std::string> JsonKeys::names() const {
  std::vector<std::string> names;
  for (const auto& [key, value] : object_.items()) {
    if (!value.is_null()) names.push_back(key);
  }
  return names;
}

void JsonKeys::refuse_unknown(std::span<const std::string_view> known) const {
  for (const std::string& key : names()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    fail(describe(key), " is not supported: ignoring it could change the model's answers");
  }
}

}  // namespace lockstep::hf
