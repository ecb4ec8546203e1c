// JsonFields: reads named fields of one JSON object into typed variables. A field that is absent or
// null leaves its variable untouched. The first value of a wrong type or out of range is kept as
// the error, which names the field and the numbers; later reads then do nothing. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/ranges.h"
#include "common/result.h"

namespace lockstep {

class JsonFields {
 public:
  // `object` must outlive this. `prefix` stands before field names in errors: "stream_options.".
  explicit JsonFields(const nlohmann::json& object, std::string prefix = "")
      : object_(object), prefix_(std::move(prefix)) {}

  // nullptr when absent or null.
  const nlohmann::json* find(const char* name) const;

  void read(const char* name, bool& out);
  // At most `max_bytes` long.
  void read(const char* name, std::string& out, size_t max_bytes = SIZE_MAX);
  void read(const char* name, int64_t& out, IntegerRange range = {});
  void read(const char* name, std::optional<int64_t>& out, IntegerRange range = {});
  void read(const char* name, double& out);
  void read(const char* name, std::optional<double>& out);
  // A list of at most `max_size` token ids.
  void read(const char* name, std::vector<int32_t>& out, size_t max_size = SIZE_MAX);
  // A string, or a list of strings; at most `max_size` of them, each of 1 to `max_bytes` bytes.
  void read_strings(const char* name, std::vector<std::string>& out, size_t max_size,
                    size_t max_bytes);

  void fail(const std::string& name, const std::string& problem,
            ErrorCode code = ErrorCode::kInvalidRequest);
  // For a field that must be there and is not.
  void require(const char* name);
  // Takes over the first error of a nested object's fields.
  void adopt(const JsonFields& nested);
  Status status() const;

 private:
  const nlohmann::json* wanted(const char* name) const;

  const nlohmann::json& object_;
  const std::string prefix_;
  std::optional<Error> error_;
};

// A value for people: short scalars as they are, "an array", "an object", long strings cut.
std::string describe(const nlohmann::json& value);

// A non-negative 32-bit integer, or nothing.
std::optional<int32_t> as_token_id(const nlohmann::json& value);

}  // namespace lockstep
