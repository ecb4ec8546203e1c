#include "node/model/files/gguf/gguf_metadata.h"

#include <limits>

namespace lockstep::gguf {
namespace {

constexpr uint64_t kMaxKeyBytes = 65535;  // GGUF spec
constexpr int kMaxArrayDepth = 4;

struct TypeFacts {
  const char* name;
  uint64_t min_bytes;  // the least bytes that an element takes in the file
  bool fixed_size;
};

constexpr TypeFacts kValueTypes[] = {
    {"uint8", 1, true},   {"int8", 1, true},    {"uint16", 2, true},  {"int16", 2, true},
    {"uint32", 4, true},  {"int32", 4, true},   {"float32", 4, true}, {"bool", 1, true},
    {"string", 8, false}, {"array", 12, false}, {"uint64", 8, true},  {"int64", 8, true},
    {"float64", 8, true}};

const TypeFacts& facts(ValueType type) { return kValueTypes[static_cast<uint32_t>(type)]; }

std::string kind_of(const Value& value) {
  if (value.type != ValueType::kArray) return facts(value.type).name;
  return std::string("array of ") + facts(value.element).name;
}

[[noreturn]] void fail_kind(const Value& value, const char* wanted) {
  fail("key ", quoted(value.key), " at offset ", value.offset, " is of type ", kind_of(value),
       ", not ", wanted);
}

ValueType read_type(Reader& reader, const std::string& what) {
  const uint64_t at = reader.offset();
  const auto raw = reader.number<uint32_t>(what);
  if (raw >= std::size(kValueTypes)) fail(what, " at offset ", at, " has the unknown type ", raw);
  return static_cast<ValueType>(raw);
}

void skip_elements(Reader& reader, ValueType type, uint64_t n, int depth, const std::string& what);

void skip_array(Reader& reader, int depth, const std::string& what) {
  if (depth > kMaxArrayDepth) {
    fail(what, " nests arrays deeper than ", kMaxArrayDepth, " at offset ", reader.offset());
  }
  const ValueType element = read_type(reader, what);
  const uint64_t n = reader.count("array length of " + what, facts(element).min_bytes);
  skip_elements(reader, element, n, depth, what);
}

void skip_elements(Reader& reader, ValueType type, uint64_t n, int depth, const std::string& what) {
  if (facts(type).fixed_size) return reader.skip(n * facts(type).min_bytes, what);
  for (uint64_t i = 0; i < n; ++i) {
    if (type == ValueType::kString) {
      reader.string(what, std::numeric_limits<uint64_t>::max());
    } else {
      skip_array(reader, depth + 1, what);
    }
  }
}

}  // namespace

Metadata::Metadata(std::span<const std::byte> file, Reader& reader, uint64_t n_values)
    : file_(file) {
  for (uint64_t i = 0; i < n_values; ++i) {
    const Value value = read_value(reader, i);
    if (!index_.emplace(value.key, values_.size()).second) {
      fail("key ", quoted(value.key), " appears twice, at offsets ", find(value.key)->offset,
           " and ", value.offset);
    }
    values_.push_back(value);
  }
}

Value Metadata::read_value(Reader& reader, uint64_t index) {
  Value value;
  const uint64_t at = reader.offset();
  value.key = reader.string("key " + std::to_string(index), kMaxKeyBytes);
  if (value.key.empty()) fail("key ", index, " at offset ", at, " is empty");
  const std::string what = "value of key " + quoted(value.key);
  value.type = read_type(reader, what);
  if (value.type == ValueType::kArray) {
    value.element = read_type(reader, what);
    value.n_elements = reader.count("array length of " + what, facts(value.element).min_bytes);
    value.offset = reader.offset();
    skip_elements(reader, value.element, value.n_elements, 1, what);
  } else {
    value.offset = reader.offset();
    skip_elements(reader, value.type, 1, 1, what);
  }
  return value;
}

const Value* Metadata::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &values_[found->second];
}

int64_t Metadata::integer_at(const Value& value, ValueType type, Reader& reader) const {
  switch (type) {
    case ValueType::kUint8:
      return reader.number<uint8_t>(value.key);
    case ValueType::kInt8:
      return reader.number<int8_t>(value.key);
    case ValueType::kUint16:
      return reader.number<uint16_t>(value.key);
    case ValueType::kInt16:
      return reader.number<int16_t>(value.key);
    case ValueType::kUint32:
      return reader.number<uint32_t>(value.key);
    case ValueType::kInt32:
      return reader.number<int32_t>(value.key);
    case ValueType::kInt64:
      return reader.number<int64_t>(value.key);
    case ValueType::kUint64: {
      const auto raw = reader.number<uint64_t>(value.key);
      if (raw > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail("key ", quoted(value.key), " at offset ", value.offset, " is ", raw, ", out of range");
      }
      return static_cast<int64_t>(raw);
    }
    default:
      fail_kind(value, "an integer");
  }
}

std::optional<int64_t> Metadata::find_signed(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  Reader reader(file_, value->offset);
  return integer_at(*value, value->type, reader);
}

std::optional<uint64_t> Metadata::find_integer(std::string_view key) const {
  const std::optional<int64_t> number = find_signed(key);
  if (!number) return std::nullopt;
  if (*number < 0) fail(describe(key), " is ", *number, ", must not be negative");
  return static_cast<uint64_t>(*number);
}

std::optional<double> Metadata::find_number(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  Reader reader(file_, value->offset);
  if (value->type == ValueType::kFloat32) return reader.number<float>(key);
  if (value->type == ValueType::kFloat64) return reader.number<double>(key);
  fail_kind(*value, "a floating-point number");
}

std::optional<bool> Metadata::find_bool(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != ValueType::kBool) fail_kind(*value, "bool");
  const auto raw = Reader(file_, value->offset).number<uint8_t>(key);
  if (raw > 1) fail(describe(key), " is ", int{raw}, ", must be 0 or 1");
  return raw == 1;
}

std::optional<std::string_view> Metadata::find_string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != ValueType::kString) fail_kind(*value, "string");
  return Reader(file_, value->offset).string(key, std::numeric_limits<uint64_t>::max());
}

std::optional<std::vector<std::string>> Metadata::find_strings(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != ValueType::kArray || value->element != ValueType::kString) {
    fail_kind(*value, "array of string");
  }
  Reader reader(file_, value->offset);
  std::vector<std::string> strings;
  strings.reserve(value->n_elements);
  for (uint64_t i = 0; i < value->n_elements; ++i) {
    strings.emplace_back(reader.string(key, std::numeric_limits<uint64_t>::max()));
  }
  return strings;
}

std::optional<std::vector<int64_t>> Metadata::find_integers(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != ValueType::kArray) fail_kind(*value, "array of integers");
  Reader reader(file_, value->offset);
  std::vector<int64_t> numbers;
  numbers.reserve(value->n_elements);
  for (uint64_t i = 0; i < value->n_elements; ++i) {
    numbers.push_back(integer_at(*value, value->element, reader));
  }
  return numbers;
}

std::optional<std::vector<float>> Metadata::find_floats(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != ValueType::kArray || value->element != ValueType::kFloat32) {
    fail_kind(*value, "array of float32");
  }
  Reader reader(file_, value->offset);
  std::vector<float> numbers;
  numbers.reserve(value->n_elements);
  for (uint64_t i = 0; i < value->n_elements; ++i) numbers.push_back(reader.number<float>(key));
  return numbers;
}

int64_t Metadata::integer(std::string_view key, int64_t low, int64_t high) const {
  const std::optional<uint64_t> found = find_integer(key);
  if (!found) fail("key ", quoted(key), " is missing");
  const auto number = static_cast<int64_t>(*found);
  if (number < low || number > high) {
    fail(describe(key), " is ", number, ", must be in ", low, "..", high);
  }
  return number;
}

double Metadata::number(std::string_view key) const {
  const std::optional<double> found = find_number(key);
  if (!found) fail("key ", quoted(key), " is missing");
  return *found;
}

std::string_view Metadata::string(std::string_view key) const {
  const std::optional<std::string_view> found = find_string(key);
  if (!found) fail("key ", quoted(key), " is missing");
  return *found;
}

std::string Metadata::describe(std::string_view key) const {
  const Value* value = find(key);
  const std::string at = value == nullptr ? "" : " at offset " + std::to_string(value->offset);
  return "key " + quoted(key) + at;
}

}  // namespace lockstep::gguf
