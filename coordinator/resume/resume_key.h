// ResumeKey: the secret that authenticates resume tokens (resume_token.h). Coordinators that read
// the same key file accept each other's tokens. Immutable; any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "common/result.h"

namespace lockstep {

class ResumeKey {
 public:
  static constexpr size_t kMinBytes = 32, kMaxBytes = 4096;  // of the secret in a file
  static constexpr size_t kMacBytes = 32;

  // A key that no other process has.
  static ResumeKey random();
  // `secret` has any length.
  static ResumeKey from_secret(std::string_view secret);
  // The secret is what the file holds, without one line end behind it. The error names the file,
  // and the number of bytes if that is outside kMinBytes to kMaxBytes.
  static Result<ResumeKey> from_file(const std::string& path);

  // The kMacBytes bytes that only an owner of the key can compute for `message`.
  std::string mac(std::string_view message) const;
  // Whether `mac` is mac(message). Takes the same time wherever the two differ.
  bool verify(std::string_view mac, std::string_view message) const;

 private:
  ResumeKey() = default;

  std::array<unsigned char, 32> key_{};
};

}  // namespace lockstep
