#include "wire/codec/field_reader.h"

#include <cmath>

#include "common/log.h"
#include "common/text/utf8.h"
#include "wire/limits.h"

namespace lockstep::wire {
namespace {

using Json = FieldReader::Json;

const char* type_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "nil";
    case Json::value_t::object:
      return "a map";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::binary:
      return "raw bytes";
    case Json::value_t::number_float:
      return "a fraction";
    default:
      return "an integer";
  }
}

// JSON has no integer type: 16 and 16.0 are the same number.
std::optional<int64_t> as_integer(const Json& value) {
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

std::string shown(const Json& value) {
  constexpr size_t kMaxText = 48;
  if (value.is_array()) return "an array";
  if (value.is_object()) return "an object";
  std::string out = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (out.size() > kMaxText) out = out.substr(0, kMaxText) + "…";
  return out;
}

std::optional<int32_t> as_token_id(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const std::optional<int64_t> id = as_integer(value);
  if (!id || *id < 0 || *id > std::numeric_limits<int32_t>::max()) return std::nullopt;
  return static_cast<int32_t>(*id);
}

Status FieldReader::status() const {
  if (!fault_) return Ok{};
  const std::string place = place_ + fault_->place;
  const std::string param = place_.empty() ? place.substr(1) : place;  // without the leading dot
  return Error{ErrorCode::kInvalidRequest, param + " " + fault_->problem, param};
}

const Json* FieldReader::find(const char* name) const {
  if (fault_) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void FieldReader::fail(const char* name, std::string problem) {
  fail(std::move(problem));
  locate(name);
}

void FieldReader::require(const char* name) {
  if (find(name) == nullptr) fail(name, "is required");
}

void FieldReader::fail(std::string problem) {
  if (!fault_) fault_ = Fault{"", std::move(problem)};
}

void FieldReader::locate(const char* name) {
  if (!fault_ || fault_->located) return;
  fault_->place.insert(0, std::string(".") + name);
  fault_->located = true;
}

void FieldReader::refuse(const Json& value, const std::string& demand) {
  fail(demand + (format_ == Format::kJson ? ", got " + shown(value)
                                          : std::string(", not ") + type_of(value)));
}

void FieldReader::wrong_type(const Json& value, const std::string& wanted) {
  refuse(value, "must be " + wanted);
}

void FieldReader::token_ids(const char* name, std::vector<int32_t>& out, size_t max_size) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_array()) {
    wrong_type(*value, "a list of token ids");
  } else if (value->size() > max_size) {
    fail(str("must hold at most ", max_size, " token ids, got ", value->size()));
  } else {
    read_list(*value, out, [this](const Json& item, int32_t& into) {
      const std::optional<int32_t> id = as_token_id(item);
      if (!id) return wrong_type(item, "a token id");
      into = *id;
    });
  }
  locate(name);
}

void FieldReader::strings(const char* name, std::vector<std::string>& out, size_t max_size,
                          size_t max_bytes) {
  const Json* value = find(name);
  if (value == nullptr) return;
  const Json list = value->is_string() ? Json::array({*value}) : *value;
  if (!list.is_array()) {
    wrong_type(*value, "a string or a list of strings");
    return locate(name);
  }
  if (list.size() > max_size) {
    return fail(name, str("must hold at most ", max_size, " strings, got ", list.size()));
  }
  out.clear();
  for (const Json& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) {
      refuse(item, "must hold strings that are not empty");
      return locate(name);
    }
    const auto& string = out.emplace_back(item.get_ref<const std::string&>());
    if (string.size() > max_bytes) {
      return fail(name, str("must hold strings of at most ", max_bytes, " bytes, got one of ",
                            string.size()));
    }
  }
}

void FieldReader::request_id(std::string& out) {
  required("request_id", out);
  if (!out.empty() && out.size() <= kMaxRequestIdBytes) return;
  fail("request_id", str("must be 1 to ", kMaxRequestIdBytes, " bytes long, not ", out.size()));
}

void FieldReader::bytes(const char* name, std::string& out) {
  const Json* value = find(name);
  if (value == nullptr) return;
  read_bytes(*value, out);
  locate(name);
}

void FieldReader::bytes(const char* name, std::vector<std::string>& out) {
  const Json* value = find(name);
  if (value == nullptr) return;
  read_list(*value, out, [this](const Json& item, std::string& into) { read_bytes(item, into); });
  locate(name);
}

void FieldReader::prompt(const char* name, std::optional<std::string>& text,
                         std::optional<std::vector<int32_t>>& ids) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (value->is_string()) {
    read(*value, text);
  } else if (value->is_array()) {
    read(*value, ids);
  } else {
    wrong_type(*value, "a string or an array of token ids");
  }
  locate(name);
}

void FieldReader::read(const Json& value, std::string& out, size_t max_bytes) {
  if (!value.is_string()) return wrong_type(value, "a string");
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > max_bytes) {
    return fail(str("must be at most ", max_bytes, " bytes long, got ", text.size()));
  }
  out = text;
  if (!utf8::is_valid(out)) fail("must be valid UTF-8");
}

void FieldReader::read_bytes(const Json& value, std::string& out) {
  if (value.is_string()) {
    out = value.get_ref<const std::string&>();
  } else if (value.is_binary()) {
    const auto& raw = value.get_binary();
    out.assign(raw.begin(), raw.end());
  } else {
    wrong_type(value, "a string or raw bytes");
  }
}

void FieldReader::read(const Json& value, bool& out) {
  if (!value.is_boolean()) {
    return wrong_type(value, format_ == Format::kJson ? "true or false" : "a boolean");
  }
  out = value.get<bool>();
}

void FieldReader::read(const Json& value, double& out) {
  if (!value.is_number()) return wrong_type(value, "a number");
  out = value.get<double>();
}

void FieldReader::read(const Json& value, float& out) {
  if (!value.is_number()) return wrong_type(value, "a number");
  out = value.get<float>();
}

void FieldReader::read(const Json& value, int64_t& out, const IntegerRange& range) {
  const std::optional<int64_t> number = as_integer(value);
  if (!number || !range.holds(*number)) return wrong_type(value, to_string(range));
  out = *number;
}

// An unknown code of a newer peer is read as kInternal.
void FieldReader::read(const Json& value, ErrorCode& out) {
  std::string name;
  read(value, name);
  out = error_code_from_string(name).value_or(ErrorCode::kInternal);
}

void FieldReader::read(const Json& value, std::vector<std::string>& out) {
  if (value.is_string()) return read(value, out.emplace_back());
  read_list(value, out, [this](const Json& item, std::string& into) { read(item, into); });
}

void FieldReader::read(const Json& value, std::vector<uint32_t>& out) {
  if (value.is_number_integer()) return read(value, out.emplace_back());
  read_list(value, out, [this](const Json& item, uint32_t& into) { read(item, into); });
}

}  // namespace lockstep::wire
