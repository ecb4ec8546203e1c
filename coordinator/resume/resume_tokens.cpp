#include "coordinator/resume/resume_tokens.h"

#include <utility>

namespace lockstep {
namespace {

Error error_of(ResumeFault fault, const std::string& field) {
  switch (fault) {
    case ResumeFault::kVersion:
      return {ErrorCode::kUnsupportedParameter, field + " is of a version that is not known here",
              field};
    case ResumeFault::kForged:
      return {ErrorCode::kForbidden,
              field + " was not issued with the key of this coordinator (--resume-key-file)",
              field};
    case ResumeFault::kBody:
      return {ErrorCode::kConflict, field + " was issued for another request", field};
    default:
      return {ErrorCode::kInvalidRequest, field + " is not a resume token, or not all of one",
              field};
  }
}

}  // namespace

Result<ResumeToken> ResumeTokens::open(std::string_view text, const std::string& field,
                                       const RequestDigest& digest,
                                       std::optional<uint64_t> seed) const {
  auto unsealed = unseal(text, key_);
  if (const auto* fault = std::get_if<ResumeFault>(&unsealed))
    return refuse(*fault, error_of(*fault, field));
  auto& token = std::get<ResumeToken>(unsealed);
  if (token.digest != digest || (seed && *seed != token.seed))
    return refuse(ResumeFault::kBody, error_of(ResumeFault::kBody, field));
  return std::move(token);
}

Error ResumeTokens::refuse(ResumeFault fault, Error error) const {
  probes_.resume_token_refused(to_string(fault));
  return error;
}

}  // namespace lockstep
