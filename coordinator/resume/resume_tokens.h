// ResumeTokens: issues the resume tokens of one coordinator and opens those that clients bring, and
// counts the ones that are refused. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "coordinator/probes.h"
#include "coordinator/resume/resume_token.h"

namespace lockstep {

class ResumeTokens {
 public:
  // `probes` must outlive the object.
  ResumeTokens(ResumeKey key, CoordinatorProbes& probes) : key_(key), probes_(probes) {}

  std::string seal(const ResumeToken& token) const { return lockstep::seal(token, key_); }

  // Opens the token of a request with this digest and seed (nullopt: the client gave none). The
  // Error names `field`, what the client calls the token. Errors: kInvalidRequest for what is no
  // token, kUnsupportedParameter for another version, kForbidden for another key, kConflict for
  // another request.
  Result<ResumeToken> open(std::string_view text, const std::string& field,
                           const RequestDigest& digest, std::optional<uint64_t> seed) const;

  // Counts the refusal of a token for a reason that was found elsewhere, and returns `error`.
  Error refuse(ResumeFault fault, Error error) const;

 private:
  const ResumeKey key_;
  CoordinatorProbes& probes_;
};

}  // namespace lockstep
