// ErrorCode: the one list of reasons why a request can fail. The wire, HTTP and metric labels share
// it.
#pragma once

#include <optional>
#include <string_view>

namespace lockstep {

enum class ErrorCode {
  kInvalidRequest,         // a field is missing, of the wrong type or out of range
  kUnsupportedParameter,   // a known field that this version does not serve
  kContextLengthExceeded,  // prompt + output exceed --max-model-len
  kRequestExceedsKvPool,   // prompt + output exceed the whole KV pool
  kUnauthorized,
  kForbidden,
  kNotFound,
  kModelNotFound,
  kMethodNotAllowed,
  kConflict,
  kPayloadTooLarge,
  kUnsupportedMediaType,  // an HTTP body whose Content-Type is not JSON
  kRateLimited,
  kOverloaded,
  kDeadlineExceeded,
  kNoNodeReady,
  kDecodeFailed,
  kInternal,
  kCancelled,
  kConfigMismatch,
  kModelLoadFailed,
};

// The snake_case name used on the wire, in HTTP bodies and as a metric label: "invalid_request".
std::string_view to_string(ErrorCode code);
std::optional<ErrorCode> error_code_from_string(std::string_view name);

// The HTTP status for a code; 500 for codes that never reach a client over HTTP.
int http_status(ErrorCode code);

// OpenAI's error `type` for a code: "invalid_request_error", "server_error", ...
std::string_view openai_error_type(ErrorCode code);

}  // namespace lockstep
