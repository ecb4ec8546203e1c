// Any text that a client sends to resume a stream is refused, or is what a coordinator wrote:
// resume tokens, also ones whose MAC is right whatever they hold, and positions.
#include <sodium.h>

#include "common/check.h"
#include "coordinator/resume/resume_token.h"
#include "coordinator/resume/stream_position.h"
#include "tests/fuzz/target.h"

namespace lockstep::testing {
namespace {

const ResumeKey& key() {
  static const ResumeKey kKey = ResumeKey::from_secret("fuzz");
  return kKey;
}

std::string base64(const std::string& bytes) {
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string out(sodium_base64_encoded_len(bytes.size(), kVariant), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), kVariant);
  out.pop_back();
  return out;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  ResumeToken token;
  token.seed = 7;
  token.created = 1700000000;
  token.fingerprint = "0123456789abcdef0123456789abcdef";
  token.max_tokens = {40, 60};
  return {seal(token, key()),
          std::string("\1") + std::string(64, 'x') + ' ' + token.fingerprint + "\1\0\0\0", "0:17",
          "0:17:stop,1:15,2:2147483647:length", "0:1:stop,127:40:length,usage"};
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

void check_token(std::string_view text) {
  const auto opened = unseal(text, testing::key());
  if (const auto* token = std::get_if<ResumeToken>(&opened))
    CHECK(seal(*token, testing::key()) == text);
  else
    CHECK(!to_string(std::get<ResumeFault>(opened)).empty());
}

void check_signed(std::string_view bytes) {
  std::string with_mac(bytes);
  with_mac += testing::key().mac(bytes);
  check_token(testing::base64(with_mac));
}

void check_position(std::string_view text, size_t n_choices) {
  const Result<StreamPosition> position = parse_position(text, n_choices);
  if (!position) {
    CHECK(position.error().param == "last-event-id");
    return;
  }
  CHECK_EQ(position->choices.size(), n_choices);
  const std::string written = to_string(*position);
  const Result<StreamPosition> again = parse_position(written, n_choices);
  CHECK(again && *again == *position);
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  const std::string_view text = testing::as_text(data, n_bytes);
  check_token(text);
  check_signed(text);
  check_position(text, 3);
  check_position(text, kMaxResumableChoices);
  return 0;
}
