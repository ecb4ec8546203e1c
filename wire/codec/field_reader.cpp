#include "wire/codec/field_reader.h"

#include "common/text/utf8.h"

namespace lockstep::wire {
namespace {

const char* type_of(const FieldReader::Json& value) {
  switch (value.type()) {
    case FieldReader::Json::value_t::null:
      return "nil";
    case FieldReader::Json::value_t::object:
      return "a map";
    case FieldReader::Json::value_t::array:
      return "an array";
    case FieldReader::Json::value_t::string:
      return "a string";
    case FieldReader::Json::value_t::boolean:
      return "a boolean";
    case FieldReader::Json::value_t::binary:
      return "raw bytes";
    case FieldReader::Json::value_t::number_float:
      return "a fraction";
    default:
      return "an integer";
  }
}

}  // namespace

Status FieldReader::status() const {
  if (!fault_) return Ok{};
  const std::string param = fault_->place.substr(1);  // without the leading dot
  return Error{ErrorCode::kInvalidRequest, param + " " + fault_->problem, param};
}

void FieldReader::fail(std::string problem) {
  if (!fault_) fault_ = Fault{"", std::move(problem), false};
}

void FieldReader::wrong_type(const Json& value, const char* wanted) {
  fail(std::string("must be ") + wanted + ", not " + type_of(value));
}

void FieldReader::missing(const char* name) {
  fail("is required");
  locate(name);
}

void FieldReader::locate(const char* name) {
  if (!fault_ || fault_->located) return;
  fault_->place.insert(0, std::string(".") + name);
  fault_->located = true;
}

const FieldReader::Json* FieldReader::find(const char* name) const {
  if (fault_) return nullptr;
  const auto found = map_.find(name);
  return found == map_.end() || found->is_null() ? nullptr : &*found;
}

void FieldReader::request_id(std::string& out) {
  required("request_id", out);
  if (!out.empty() && out.size() <= kMaxRequestIdBytes) return;
  fail("must be 1 to " + std::to_string(kMaxRequestIdBytes) + " bytes long, not " +
       std::to_string(out.size()));
  locate("request_id");
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

void FieldReader::read(const Json& value, std::string& out) {
  if (!value.is_string()) return wrong_type(value, "a string");
  out = value.get_ref<const std::string&>();
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
  if (!value.is_boolean()) return wrong_type(value, "a boolean");
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

}  // namespace lockstep::wire
