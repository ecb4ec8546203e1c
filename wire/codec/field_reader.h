// FieldReader: the decoding visitor of wire/codec/fields.h, for one map of an already scanned
// message. It keeps the first fault and its place ("messages[2].role"); later reads do nothing. The
// place is built only after a fault, so valid messages do not pay for it.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "common/result.h"
#include "wire/codec/fields.h"

namespace lockstep::wire {

class FieldReader {
 public:
  using Json = nlohmann::json;

  explicit FieldReader(const Json& map) : map_(map) {}
  // Returns the first fault as an Error, or Ok.
  Status status() const;

  void request_id(std::string& out);
  template <class T>
  void required(const char* name, T& out) {
    const Json* value = find(name);
    if (value == nullptr) return missing(name);
    read(*value, out);
    locate(name);
  }
  template <class T>
  void field(const char* name, T& out) {
    const Json* value = find(name);
    if (value == nullptr) return;
    read(*value, out);
    locate(name);
  }
  void bytes(const char* name, std::string& out);
  void bytes(const char* name, std::vector<std::string>& out);
  void prompt(const char* name, std::optional<std::string>& text,
              std::optional<std::vector<int32_t>>& ids);

 private:
  struct Fault {
    std::string place;     // grows from the inside outwards: ".role", then "[2].role", …
    std::string problem;   // "must be a string, not an integer"
    bool located = false;  // `place` starts at map_
  };

  // Returns null if the field is absent or nil, or after a fault.
  const Json* find(const char* name) const;
  void missing(const char* name);
  void locate(const char* name);
  void fail(std::string problem);
  void wrong_type(const Json& value, const char* wanted);

  void read(const Json& value, std::string& out);
  void read(const Json& value, bool& out);
  void read(const Json& value, float& out);
  void read(const Json& value, double& out);
  void read(const Json& value, ErrorCode& out);
  // A single string is read as a list of one, as in the HTTP field `stop`.
  void read(const Json& value, std::vector<std::string>& out);
  void read_bytes(const Json& value, std::string& out);

  template <class T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  void read(const Json& value, T& out) {
    if (!value.is_number_integer()) return wrong_type(value, "an integer");
    using Limits = std::numeric_limits<T>;
    const bool fits =
        value.is_number_unsigned()
            ? value.get<uint64_t>() <= static_cast<uint64_t>(Limits::max())
            : std::is_signed_v<T> && value.get<int64_t>() >= static_cast<int64_t>(Limits::min());
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
  template <class T>
  void read(const Json& value, std::vector<T>& out) {
    read_list(value, out, [this](const Json& item, T& into) { read(item, into); });
  }
  template <class M, std::enable_if_t<std::is_class_v<M>, int> = 0>
  void read(const Json& value, M& out) {
    if (!value.is_object()) return wrong_type(value, "a map");
    FieldReader inner(value);
    Fields<M>::visit(inner, out);
    if (inner.fault_) fault_ = Fault{inner.fault_->place, inner.fault_->problem, false};
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

  const Json& map_;
  std::optional<Fault> fault_;
};

}  // namespace lockstep::wire
