#include "common/error_code.h"

#include <array>

namespace lockstep {
namespace {

struct Row {
  ErrorCode code;
  std::string_view name;
  int http_status;
  std::string_view openai_type;
};

constexpr std::array kRows{
    Row{ErrorCode::kInvalidRequest, "invalid_request", 400, "invalid_request_error"},
    Row{ErrorCode::kUnsupportedParameter, "unsupported_parameter", 400, "invalid_request_error"},
    Row{ErrorCode::kContextLengthExceeded, "context_length_exceeded", 400, "invalid_request_error"},
    Row{ErrorCode::kRequestExceedsKvPool, "request_exceeds_kv_pool", 400, "invalid_request_error"},
    Row{ErrorCode::kUnauthorized, "unauthorized", 401, "authentication_error"},
    Row{ErrorCode::kForbidden, "forbidden", 403, "permission_error"},
    Row{ErrorCode::kNotFound, "not_found", 404, "not_found_error"},
    Row{ErrorCode::kModelNotFound, "model_not_found", 404, "not_found_error"},
    Row{ErrorCode::kMethodNotAllowed, "method_not_allowed", 405, "invalid_request_error"},
    Row{ErrorCode::kConflict, "conflict", 409, "invalid_request_error"},
    Row{ErrorCode::kPayloadTooLarge, "payload_too_large", 413, "invalid_request_error"},
    Row{ErrorCode::kUnsupportedMediaType, "unsupported_media_type", 415, "invalid_request_error"},
    Row{ErrorCode::kRateLimited, "rate_limited", 429, "rate_limit_error"},
    Row{ErrorCode::kOverloaded, "overloaded", 429, "rate_limit_error"},
    Row{ErrorCode::kDeadlineExceeded, "deadline_exceeded", 504, "server_error"},
    Row{ErrorCode::kNoNodeReady, "no_node_ready", 503, "unavailable_error"},
    Row{ErrorCode::kDecodeFailed, "decode_failed", 500, "server_error"},
    Row{ErrorCode::kInternal, "internal", 500, "server_error"},
    Row{ErrorCode::kCancelled, "cancelled", 499, "invalid_request_error"},
    Row{ErrorCode::kConfigMismatch, "config_mismatch", 500, "server_error"},
    Row{ErrorCode::kModelLoadFailed, "model_load_failed", 500, "server_error"},
};

const Row& row(ErrorCode code) { return kRows[static_cast<size_t>(code)]; }

constexpr bool rows_are_in_enum_order() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<size_t>(kRows[i].code) != i) return false;
  }
  return true;
}
static_assert(rows_are_in_enum_order());

}  // namespace

std::string_view to_string(ErrorCode code) { return row(code).name; }
int http_status(ErrorCode code) { return row(code).http_status; }
std::string_view openai_error_type(ErrorCode code) { return row(code).openai_type; }

std::optional<ErrorCode> error_code_from_string(std::string_view name) {
  for (const Row& r : kRows) {
    if (r.name == name) return r.code;
  }
  return std::nullopt;
}

}  // namespace lockstep
