// ResumeToken: what a client carries from the coordinator that began its response to the one that
// goes on with it. No coordinator stores anything: the client sends its request again, with the
// token. Values only; any thread.
//
// Bytes, before base64url without padding (RFC 4648, section 5); numbers are little-endian:
//   offset  size
//        0     1  version, 1
//        1    32  digest of the request (request_digest.h)
//       33     8  seed
//       41    16  id of the HTTP response; 0 for ZeroMQ clients
//       57     8  the response's `created`, seconds since 1970; 0 for ZeroMQ clients
//       65     1  n, the length of the fingerprint, 1 to kMaxFingerprintBytes
//       66     n  fingerprint of the nodes that began the response
//     66+n    4k  for a request without max_tokens: the limit in use for each of its k prompts
//  66+n+4k    32  MAC of all bytes before it (ResumeKey)
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/resume/request_digest.h"
#include "coordinator/resume/resume_key.h"

namespace lockstep {

inline constexpr size_t kMaxFingerprintBytes = 255;
inline constexpr size_t kMaxTokenPrompts = 128;

using ResponseId = std::array<unsigned char, 16>;
ResponseId random_response_id();
std::string to_hex(const ResponseId& id);  // 32 digits

struct ResumeToken {
  RequestDigest digest{};
  uint64_t seed = 0;
  ResponseId response_id{};
  int64_t created = 0;      // seconds since 1970
  std::string fingerprint;  // only nodes with this fingerprint may go on with the response
  // [n_prompts], or empty if the request has max_tokens: each prompt's limit, which depends on the
  // node that begins it. 0 = not known.
  std::vector<uint32_t> max_tokens;

  friend bool operator==(const ResumeToken&, const ResumeToken&) = default;
};

// Why a response is not resumed.
enum class ResumeFault {
  kMalformed,    // no token, or one that was cut
  kVersion,      // a token of another version of this format
  kForged,       // the MAC is not that of this coordinator's key
  kBody,         // a token of another request
  kFingerprint,  // no node has the token's fingerprint
  kPosition,     // the client's position does not fit the response
};
std::string_view to_string(ResumeFault fault);  // the metric label: "malformed", …

// Gives prompt number `prompt_idx` of the token's request the seed and the limit of the response
// that began.
void begin_again(const ResumeToken& token, size_t prompt_idx, wire::Generate& prompt);

// An empty text if the fingerprint has not 1 to kMaxFingerprintBytes bytes, or if there are more
// than kMaxTokenPrompts prompts: no token can hold that.
std::string seal(const ResumeToken& token, const ResumeKey& key);
// Returns kMalformed, kVersion or kForged for a text that seal() with this key does not give.
std::variant<ResumeToken, ResumeFault> unseal(std::string_view text, const ResumeKey& key);

}  // namespace lockstep
