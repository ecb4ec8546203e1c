#include "coordinator/http/json_fields.h"

#include <cmath>

#include "common/log.h"

namespace lockstep {
namespace {

using nlohmann::json;

// JSON has no integer type: 16 and 16.0 are the same number.
std::optional<int64_t> as_integer(const json& value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  if (std::trunc(number) != number || std::fabs(number) > kExact) return std::nullopt;
  return static_cast<int64_t>(number);
}

}  // namespace

std::string describe(const json& value) {
  constexpr size_t kMaxText = 48;
  if (value.is_array()) return "an array";
  if (value.is_object()) return "an object";
  std::string out = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (out.size() > kMaxText) out = out.substr(0, kMaxText) + "…";
  return out;
}

std::optional<int32_t> as_token_id(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const std::optional<int64_t> id = as_integer(value);
  if (!id || *id < 0 || *id > std::numeric_limits<int32_t>::max()) return std::nullopt;
  return static_cast<int32_t>(*id);
}

const json* JsonFields::find(const char* name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

const json* JsonFields::wanted(const char* name) const { return error_ ? nullptr : find(name); }

void JsonFields::read(const char* name, bool& out) {
  const json* value = wanted(name);
  if (value == nullptr) return;
  if (!value->is_boolean()) return fail(name, "must be true or false, got " + describe(*value));
  out = value->get<bool>();
}

void JsonFields::read(const char* name, std::string& out, size_t max_bytes) {
  const json* value = wanted(name);
  if (value == nullptr) return;
  if (!value->is_string()) return fail(name, "must be a string, got " + describe(*value));
  const auto& string = value->get_ref<const std::string&>();
  if (string.size() > max_bytes)
    return fail(name, str("must be at most ", max_bytes, " bytes long, got ", string.size()));
  out = string;
}

void JsonFields::read(const char* name, std::optional<int64_t>& out, IntegerRange range) {
  const json* value = wanted(name);
  if (value == nullptr) return;
  const std::optional<int64_t> number = as_integer(*value);
  if (!number || !range.holds(*number))
    return fail(name, "must be " + to_string(range) + ", got " + describe(*value));
  out = *number;
}

void JsonFields::read(const char* name, int64_t& out, IntegerRange range) {
  std::optional<int64_t> number;
  read(name, number, range);
  if (number) out = *number;
}

void JsonFields::read(const char* name, std::optional<double>& out) {
  const json* value = wanted(name);
  if (value == nullptr) return;
  if (!value->is_number()) return fail(name, "must be a number, got " + describe(*value));
  out = value->get<double>();
}

void JsonFields::read(const char* name, double& out) {
  std::optional<double> number;
  read(name, number);
  if (number) out = *number;
}

void JsonFields::read(const char* name, std::vector<int32_t>& out, size_t max_size) {
  const json* value = wanted(name);
  if (value == nullptr) return;
  if (!value->is_array()) return fail(name, "must be a list of token ids, got " + describe(*value));
  if (value->size() > max_size)
    return fail(name, str("must hold at most ", max_size, " token ids, got ", value->size()));
  std::vector<int32_t> ids;
  ids.reserve(value->size());
  for (const json& item : *value) {
    const std::optional<int32_t> id = as_token_id(item);
    if (!id)
      return fail(str(name, "[", ids.size(), "]"), "must be a token id, got " + describe(item));
    ids.push_back(*id);
  }
  out = std::move(ids);
}

void JsonFields::read_strings(const char* name, std::vector<std::string>& out, size_t max_size,
                              size_t max_bytes) {
  const json* value = wanted(name);
  if (value == nullptr) return;
  const json list = value->is_string() ? json::array({*value}) : *value;
  if (!list.is_array())
    return fail(name, "must be a string or a list of strings, got " + describe(*value));
  if (list.size() > max_size)
    return fail(name, str("must hold at most ", max_size, " strings, got ", list.size()));
  std::vector<std::string> strings;
  for (const json& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      return fail(name, "must hold strings that are not empty, got " + describe(item));
    const auto& string = item.get_ref<const std::string&>();
    if (string.size() > max_bytes)
      return fail(name, str("must hold strings of at most ", max_bytes, " bytes, got one of ",
                            string.size()));
    strings.push_back(string);
  }
  out = std::move(strings);
}

void JsonFields::fail(const std::string& name, const std::string& problem, ErrorCode code) {
  if (error_) return;
  const std::string param = prefix_ + name;
  error_ = Error{code, param + " " + problem, param};
}

void JsonFields::require(const char* name) {
  if (find(name) == nullptr) fail(name, "is required");
}

void JsonFields::adopt(const JsonFields& nested) {
  if (!error_) error_ = nested.error_;
}

Status JsonFields::status() const {
  if (error_) return *error_;
  return Ok{};
}

}  // namespace lockstep
