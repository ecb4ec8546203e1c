// Metadata: the key-value pairs of a GGUF file. The constructor walks and bounds-checks every value
// once and keeps its offset; accessors read the value from the file. Returned views are valid as
// long as the file's bytes. A value of the wrong type is a LoadError naming key, offset and both
// types. Immutable after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "node/model/files/gguf/gguf_reader.h"

namespace lockstep::gguf {

// GGUF spec, `gguf_metadata_value_type`.
enum class ValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};

struct Value {
  std::string_view key;
  ValueType type = ValueType::kUint8;
  ValueType element = ValueType::kUint8;  // of an array
  uint64_t n_elements = 0;                // of an array
  uint64_t offset = 0;                    // of the value, or of an array's first element
};

class Metadata {
 public:
  // Reads `n_values` pairs at the reader's offset. Throws LoadError for duplicate and empty keys.
  Metadata(std::span<const std::byte> file, Reader& reader, uint64_t n_values);

  const std::vector<Value>& values() const { return values_; }  // in file order
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // The find_ functions return nullopt for an absent key. find_integer() and find_integers() accept
  // every integer type; find_integer() throws LoadError for a negative value.
  std::optional<uint64_t> find_integer(std::string_view key) const;
  std::optional<int64_t> find_signed(std::string_view key) const;  // of any sign
  std::optional<double> find_number(std::string_view key) const;
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string_view> find_string(std::string_view key) const;
  std::optional<std::vector<std::string>> find_strings(std::string_view key) const;
  std::optional<std::vector<int64_t>> find_integers(std::string_view key) const;
  std::optional<std::vector<float>> find_floats(std::string_view key) const;  // of float32

  // These throw LoadError for an absent key, integer() also for a value outside [low, high].
  int64_t integer(std::string_view key, int64_t low, int64_t high) const;
  double number(std::string_view key) const;
  std::string_view string(std::string_view key) const;
  // "key 'k' at offset n", for messages about a key that is present.
  std::string describe(std::string_view key) const;

 private:
  const Value* find(std::string_view key) const;
  Value read_value(Reader& reader, uint64_t index);
  int64_t integer_at(const Value& value, ValueType type, Reader& reader) const;

  std::span<const std::byte> file_;
  std::vector<Value> values_;
  std::unordered_map<std::string_view, size_t> index_;
};

}  // namespace lockstep::gguf
