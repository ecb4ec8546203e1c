// FieldReader: reads named fields of one object, which came as MessagePack or as JSON, into typed
// variables. A field that is absent or null leaves its variable unchanged; unknown fields are
// skipped. The first fault is kept with its place ("messages[2].role"); later reads do nothing. The
// place is built only after a fault, so valid objects do not pay for it.
//
// decode() uses it as a visitor of wire/codec/fields.h. The coordinator reads the bodies of HTTP
// requests with it, and gives a limit where a field has one. One thread at a time.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "common/error_code.h"
#include "common/ranges.h"
#include "common/result.h"

namespace lockstep::wire {

template <class M>
struct Fields;  // wire/codec/fields.h

class FieldReader {
 public:
  using Json = nlohmann::json;
  // The format decides only how faults are worded: "must be a map, not an integer" or "must be an
  // object, got 5".
  enum class Format { kMessagePack, kJson };

  // `object` must outlive this reader. Places begin with `place`, that of the object itself.
  FieldReader(const Json& object, Format format, std::string place = "")
      : object_(object), format_(format), place_(std::move(place)) {}

  // Returns the first fault as an Error of kInvalidRequest, or Ok.
  Status status() const;
  // Returns null if the field is absent or null, or after a fault.
  const Json* find(const char* name) const;
  // Keeps "NAME PROBLEM" as the fault, if it is the first.
  void fail(const char* name, std::string problem);
  // Fails if the field is absent or null.
  void require(const char* name);

  // The type of `out` is the type of the field: whole numbers serve as fractions, an integer field
  // takes the integers of its type. The limits, if any, are: for a string, the most bytes; for an
  // int64_t, an IntegerRange, with which 16.0 is read as 16, as JSON has no integer type.
  template <class T, class... Limits>
  void field(const char* name, T& out, const Limits&... limits) {
    const Json* value = find(name);
    if (value == nullptr) return;
    read(*value, out, limits...);
    locate(name);
  }
  // Like field(), and fails if the field is absent or null.
  template <class T, class... Limits>
  void required(const char* name, T& out, const Limits&... limits) {
    const Json* value = find(name);
    if (value == nullptr) return fail(name, "is required");
    read(*value, out, limits...);
    locate(name);
  }
  // Reads a nested object by calling `read_nested(FieldReader&)`.
  template <class Read>
  void object(const char* name, const Read& read_nested) {
    const Json* value = find(name);
    if (value == nullptr) return;
    read_object(*value, read_nested);
    locate(name);
  }
  // Reads a list of at most `max_size` token ids, which are not negative.
  void token_ids(const char* name, std::vector<int32_t>& out, size_t max_size = SIZE_MAX);
  // Reads a string or a list of at most `max_size` strings, each of 1 to `max_bytes` bytes.
  void strings(const char* name, std::vector<std::string>& out, size_t max_size, size_t max_bytes);

  // These are the remaining functions of a visitor; fields.h describes them.
  void request_id(std::string& out);
  void bytes(const char* name, std::string& out);
  void bytes(const char* name, std::vector<std::string>& out);
  void prompt(const char* name, std::optional<std::string>& text,
              std::optional<std::vector<int32_t>>& ids);

 private:
  struct Fault {
    std::string place;     // grows from the inside outwards: ".role", then "[2].role", …
    std::string problem;   // "must be a string, not an integer"
    bool located = false;  // `place` starts at object_
  };

  void locate(const char* name);
  void fail(std::string problem);
  // "DEMAND, not a map" or "DEMAND, got 5"
  void refuse(const Json& value, const std::string& demand);
  void wrong_type(const Json& value, const std::string& wanted);

  void read(const Json& value, std::string& out, size_t max_bytes = SIZE_MAX);
  void read(const Json& value, bool& out);
  void read(const Json& value, float& out);
  void read(const Json& value, double& out);
  void read(const Json& value, int64_t& out, const IntegerRange& range);
  void read(const Json& value, ErrorCode& out);
  // A single string is read as a list of one, as in the HTTP field `stop`.
  void read(const Json& value, std::vector<std::string>& out);
  // A single count is read as a list of one, as in the `index` of a request with one choice.
  void read(const Json& value, std::vector<uint32_t>& out);
  void read_bytes(const Json& value, std::string& out);

  template <class T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  void read(const Json& value, T& out) {
    if (!value.is_number_integer()) return wrong_type(value, "an integer");
    using Limits = std::numeric_limits<T>;
    const bool is_negative = !value.is_number_unsigned() && value.get<int64_t>() < 0;
    const bool fits = is_negative ? std::is_signed_v<T> &&
                                        value.get<int64_t>() >= static_cast<int64_t>(Limits::min())
                                  : value.get<uint64_t>() <= static_cast<uint64_t>(Limits::max());
    if (!fits) {
      return fail("must be between " + std::to_string(Limits::min()) + " and " +
                  std::to_string(Limits::max()));
    }
    out = value.get<T>();
  }
  template <class T>
  void read(const Json& value, std::optional<T>& out) {
    read(value, out.emplace());
  }
  template <class T, class Limit>
  void read(const Json& value, std::optional<T>& out, const Limit& limit) {
    read(value, out.emplace(), limit);
  }
  template <class T>
  void read(const Json& value, std::vector<T>& out) {
    read_list(value, out, [this](const Json& item, T& into) { read(item, into); });
  }
  template <class M, std::enable_if_t<std::is_class_v<M>, int> = 0>
  void read(const Json& value, M& out) {
    read_object(value, [&out](FieldReader& nested) { Fields<M>::visit(nested, out); });
  }

  template <class Read>
  void read_object(const Json& value, const Read& read_nested) {
    if (!value.is_object()) return wrong_type(value, word_for_object());
    FieldReader nested(value, format_);
    read_nested(nested);
    if (nested.fault_ && !fault_) {
      fault_ = Fault{std::move(nested.fault_->place), std::move(nested.fault_->problem)};
    }
  }
  template <class T, class Read>
  void read_list(const Json& value, std::vector<T>& out, const Read& read_item) {
    if (!value.is_array()) return wrong_type(value, "an array");
    out.clear();
    out.reserve(value.size());
    for (const Json& item : value) {
      read_item(item, out.emplace_back());
      if (!fault_) continue;
      fault_->place.insert(0, "[" + std::to_string(out.size() - 1) + "]");
      return;
    }
  }
  const char* word_for_object() const { return format_ == Format::kJson ? "an object" : "a map"; }

  const Json& object_;
  const Format format_;
  const std::string place_;
  std::optional<Fault> fault_;
};

// Returns a value as errors about JSON show it: short scalars as they are, long strings cut, "an
// array", "an object".
std::string shown(const nlohmann::json& value);

// Returns the value if it is a non-negative 32-bit integer.
std::optional<int32_t> as_token_id(const nlohmann::json& value);

}  // namespace lockstep::wire
