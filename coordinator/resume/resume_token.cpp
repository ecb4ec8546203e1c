#include "coordinator/resume/resume_token.h"

#include <algorithm>
#include <optional>

#include "coordinator/resume/sodium.h"

namespace lockstep {
namespace {

constexpr char kVersion = 1;
constexpr int kBase64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
constexpr size_t kFixedBytes = 66;  // before the fingerprint
constexpr size_t kMinBytes = kFixedBytes + 1 + ResumeKey::kMacBytes;
constexpr size_t kMaxBytes =
    kFixedBytes + kMaxFingerprintBytes + kMaxTokenPrompts * sizeof(uint32_t) + ResumeKey::kMacBytes;

template <class T>
void append_number(T value, std::string& out) {
  for (size_t i = 0; i < sizeof value; ++i) out.push_back(static_cast<char>(value >> 8 * i));
}

// Takes values from the front of a token, whose length was checked before.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T number() {
    T value = 0;
    for (size_t i = 0; i < sizeof value; ++i)
      value |= T{static_cast<unsigned char>(take(1)[0])} << 8 * i;
    return value;
  }
  template <size_t N>
  void bytes(std::array<unsigned char, N>& out) {
    const std::string_view taken = take(N);
    std::copy(taken.begin(), taken.end(), out.begin());
  }
  std::string_view take(size_t n) {
    const std::string_view taken = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return taken;
  }
  size_t n_left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

std::string to_base64(std::string_view bytes) {
  std::string out(sodium_base64_encoded_len(bytes.size(), kBase64), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), kBase64);
  out.pop_back();  // the terminating 0
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string out(kMaxBytes, '\0');
  size_t n_bytes = 0;
  const int failed =
      sodium_base642bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), text.data(),
                        text.size(), nullptr, &n_bytes, nullptr, kBase64);
  if (failed != 0) return std::nullopt;
  out.resize(n_bytes);
  return out;
}

}  // namespace

ResponseId random_response_id() {
  init_sodium();
  ResponseId id;
  randombytes_buf(id.data(), id.size());
  return id;
}

std::string to_hex(const ResponseId& id) {
  std::string out(2 * id.size() + 1, '\0');
  sodium_bin2hex(out.data(), out.size(), id.data(), id.size());
  out.pop_back();
  return out;
}

std::string_view to_string(ResumeFault fault) {
  constexpr std::array<std::string_view, 6> kNames = {"malformed", "version",     "forged",
                                                      "body",      "fingerprint", "position"};
  return kNames[static_cast<size_t>(fault)];
}

void begin_again(const ResumeToken& token, size_t prompt_idx, wire::Generate& prompt) {
  prompt.seed = token.seed;
  const bool has_limit = prompt_idx < token.max_tokens.size() && token.max_tokens[prompt_idx] > 0;
  if (!prompt.max_tokens && has_limit) prompt.max_tokens = token.max_tokens[prompt_idx];
}

std::string seal(const ResumeToken& token, const ResumeKey& key) {
  const size_t n_fingerprint = token.fingerprint.size();
  if (n_fingerprint == 0 || n_fingerprint > kMaxFingerprintBytes) return "";
  if (token.max_tokens.size() > kMaxTokenPrompts) return "";
  std::string bytes(1, kVersion);
  bytes.append(token.digest.begin(), token.digest.end());
  append_number(token.seed, bytes);
  bytes.append(token.response_id.begin(), token.response_id.end());
  append_number(static_cast<uint64_t>(token.created), bytes);
  bytes.push_back(static_cast<char>(n_fingerprint));
  bytes += token.fingerprint;
  for (uint32_t limit : token.max_tokens) append_number(limit, bytes);
  bytes += key.mac(bytes);
  return to_base64(bytes);
}

// The version comes before the length: a later version may be shorter or longer.
std::variant<ResumeToken, ResumeFault> unseal(std::string_view text, const ResumeKey& key) {
  const std::optional<std::string> bytes = from_base64(text);
  if (!bytes || bytes->empty()) return ResumeFault::kMalformed;
  if (bytes->front() != kVersion) return ResumeFault::kVersion;
  if (bytes->size() < kMinBytes) return ResumeFault::kMalformed;
  const size_t n_signed = bytes->size() - ResumeKey::kMacBytes;
  const std::string_view is_signed = std::string_view(*bytes).substr(0, n_signed);
  if (!key.verify(std::string_view(*bytes).substr(n_signed), is_signed))
    return ResumeFault::kForged;
  Reader reader(is_signed.substr(1));
  ResumeToken token;
  reader.bytes(token.digest);
  token.seed = reader.number<uint64_t>();
  reader.bytes(token.response_id);
  token.created = static_cast<int64_t>(reader.number<uint64_t>());
  const size_t n_fingerprint = static_cast<unsigned char>(reader.take(1)[0]);
  const bool is_whole = n_fingerprint > 0 && n_fingerprint <= reader.n_left() &&
                        (reader.n_left() - n_fingerprint) % sizeof(uint32_t) == 0 &&
                        (reader.n_left() - n_fingerprint) / sizeof(uint32_t) <= kMaxTokenPrompts;
  if (!is_whole) return ResumeFault::kMalformed;
  token.fingerprint = reader.take(n_fingerprint);
  while (reader.n_left() > 0) token.max_tokens.push_back(reader.number<uint32_t>());
  return token;
}

}  // namespace lockstep
