// JsonFields: reads named fields of one JSON object into typed variables. A field that is absent or
// null leaves its variable unchanged. The first value of a wrong type or out of range is kept as
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
  // `object` must outlive this object. Errors put `prefix` before field names: "stream_options.".
  explicit JsonFields(const nlohmann::json& object, std::string prefix = "")
      : object_(object), prefix_(std::move(prefix)) {}

  // Returns nullptr when the field is absent or null.
  const nlohmann::json* find(const char* name) const;

  void read(const char* name, bool& out);
  // Reads a string of at most `max_bytes` bytes.
  void read(const char* name, std::string& out, size_t max_bytes = SIZE_MAX);
  void read(const char* name, int64_t& out, IntegerRange range = {});
  void read(const char* name, std::optional<int64_t>& out, IntegerRange range = {});
  void read(const char* name, double& out);
  void read(const char* name, std::optional<double>& out);
  // Reads a list of at most `max_size` token ids.
  void read(const char* name, std::vector<int32_t>& out, size_t max_size = SIZE_MAX);
  // Reads a string or a list of strings: at most `max_size` strings, each of 1 to `max_bytes`
  // bytes.
  void read_strings(const char* name, std::vector<std::string>& out, size_t max_size,
                    size_t max_bytes);

  void fail(const std::string& name, const std::string& problem,
            ErrorCode code = ErrorCode::kInvalidRequest);
  // Fails if the field is absent or null.
  void require(const char* name);
  // Takes over the first error of `nested`, which has read a nested object.
  void adopt(const JsonFields& nested);
  Status status() const;

 private:
  const nlohmann::json* wanted(const char* name) const;

  const nlohmann::json& object_;
  const std::string prefix_;
  std::optional<Error> error_;
};

// Describes a value for an error message: short scalars as they are, long strings cut, "an array",
// "an object".
std::string describe(const nlohmann::json& value);

// Returns the value if it is a non-negative 32-bit integer.
std::optional<int32_t> as_token_id(const nlohmann::json& value);

}  // namespace lockstep
