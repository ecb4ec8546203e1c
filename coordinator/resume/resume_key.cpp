#include "coordinator/resume/resume_key.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "common/log.h"
#include "coordinator/resume/sodium.h"

namespace lockstep {
namespace {

constexpr const char* kField = "resume_key_file";

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Error bad_file(const std::string& path, const std::string& problem) {
  return {ErrorCode::kInvalidRequest, str(kField, " '", path, "' ", problem), kField};
}

}  // namespace

static_assert(crypto_auth_KEYBYTES == 32 && crypto_auth_BYTES == ResumeKey::kMacBytes);

ResumeKey ResumeKey::random() {
  init_sodium();
  ResumeKey key;
  randombytes_buf(key.key_.data(), key.key_.size());
  return key;
}

ResumeKey ResumeKey::from_secret(std::string_view secret) {
  init_sodium();
  ResumeKey key;
  crypto_generichash(key.key_.data(), key.key_.size(), bytes_of(secret), secret.size(), nullptr, 0);
  return key;
}

// Reads one byte more than is allowed, so that a file without an end is refused too.
Result<ResumeKey> ResumeKey::from_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string secret(kMaxBytes + 2, '\0');
  file.read(secret.data(), static_cast<std::streamsize>(secret.size()));
  if (file.bad() || (file.gcount() == 0 && errno != 0))
    return bad_file(path, str("cannot be read: ", std::strerror(errno)));
  secret.resize(static_cast<size_t>(file.gcount()));
  if (secret.ends_with('\n')) secret.pop_back();
  if (secret.size() < kMinBytes || secret.size() > kMaxBytes)
    return bad_file(path, str("must hold ", kMinBytes, " to ", kMaxBytes, " bytes, holds ",
                              secret.size() > kMaxBytes ? "more" : std::to_string(secret.size())));
  ResumeKey key = from_secret(secret);
  sodium_memzero(secret.data(), secret.size());
  return key;
}

std::string ResumeKey::mac(std::string_view message) const {
  std::string out(kMacBytes, '\0');
  crypto_auth(reinterpret_cast<unsigned char*>(out.data()), bytes_of(message), message.size(),
              key_.data());
  return out;
}

bool ResumeKey::verify(std::string_view mac, std::string_view message) const {
  return mac.size() == kMacBytes &&
         crypto_auth_verify(bytes_of(mac), bytes_of(message), message.size(), key_.data()) == 0;
}

}  // namespace lockstep
