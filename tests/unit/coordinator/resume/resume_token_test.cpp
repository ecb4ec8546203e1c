// Resume tokens: what is sealed is opened again, and nothing else is.
#include "coordinator/resume/resume_token.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sodium.h>

#include <random>
#include <string>

#include "coordinator/resume/resume_tokens.h"

namespace lockstep {
namespace {

ResumeToken sample() {
  ResumeToken token;
  for (size_t i = 0; i < token.digest.size(); ++i) token.digest[i] = static_cast<uint8_t>(i);
  token.seed = 0xFEDCBA9876543210u;
  token.response_id.fill(0xAB);
  token.created = 1700000000;
  token.fingerprint = "0123456789abcdef0123456789abcdef-2048-keep";
  token.max_tokens = {40, 0, 0xFFFFFFFF};
  return token;
}

const ResumeKey& key() {
  static const ResumeKey kKey = ResumeKey::from_secret(std::string(32, 'k'));
  return kKey;
}

std::string base64(const std::string& bytes) {
  std::string out(sodium_base64_encoded_len(bytes.size(), 7), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), 7);
  out.pop_back();
  return out;
}

std::string fault_of(std::string_view text) {
  const auto opened = unseal(text, key());
  const auto* fault = std::get_if<ResumeFault>(&opened);
  return fault == nullptr ? "" : std::string(to_string(*fault));
}

TEST(ResumeToken, WhatIsSealedIsOpenedAgain) {
  for (const std::string& fingerprint : {std::string("f"), std::string(255, 'f')}) {
    ResumeToken token = sample();
    token.fingerprint = fingerprint;
    const std::string text = seal(token, key());
    EXPECT_EQ(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_"),
              std::string::npos)
        << text;
    const auto opened = unseal(text, key());
    ASSERT_TRUE(std::holds_alternative<ResumeToken>(opened)) << fault_of(text);
    EXPECT_EQ(std::get<ResumeToken>(opened), token);
  }
}

// Coordinators of different builds exchange tokens, so the bytes are fixed.
TEST(ResumeToken, HasTheseBytes) {
  ResumeToken token = sample();
  token.fingerprint = "f0";
  token.max_tokens.clear();
  const std::string text = seal(token, key());
  EXPECT_TRUE(
      text.starts_with("AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fEDJUdpi63P6rq6urq6ur"
                       "q6urq6urq6urAPFTZQAAAAAC"))
      << text;
  EXPECT_EQ(text.size(), 134u);
}

TEST(ResumeToken, NoTokenHoldsAFingerprintOfAnotherLength) {
  for (const std::string& fingerprint : {std::string(), std::string(256, 'f')}) {
    ResumeToken token = sample();
    token.fingerprint = fingerprint;
    EXPECT_EQ(seal(token, key()), "");
  }
  ResumeToken token = sample();
  token.max_tokens.resize(kMaxTokenPrompts);
  EXPECT_NE(seal(token, key()), "");
  token.max_tokens.resize(kMaxTokenPrompts + 1);
  EXPECT_EQ(seal(token, key()), "");
}

TEST(ResumeToken, EveryCharacterIsAuthenticated) {
  const std::string text = seal(sample(), key());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_NE(fault_of(changed), "") << i;
  }
}

TEST(ResumeToken, ATokenThatWasCutIsRefused) {
  const std::string text = seal(sample(), key());
  for (size_t n = 0; n < text.size(); ++n) EXPECT_NE(fault_of(text.substr(0, n)), "") << n;
  for (const char* more : {"A", "=", "\n", " ", "AAAA"}) EXPECT_NE(fault_of(text + more), "");
}

TEST(ResumeToken, FaultsHaveTheirNames) {
  EXPECT_EQ(fault_of(""), "malformed");
  EXPECT_EQ(fault_of("not base64!"), "malformed");
  EXPECT_EQ(fault_of(base64(std::string("\1") + std::string(90, 'x'))), "malformed");
  EXPECT_EQ(fault_of(base64(std::string("\2") + std::string(120, 'x'))), "version");
  EXPECT_EQ(fault_of(base64("\2")), "version");
  EXPECT_EQ(fault_of(base64(std::string("\1") + std::string(121, 'x'))), "forged");
  EXPECT_EQ(fault_of(seal(sample(), ResumeKey::from_secret("another"))), "forged");
  EXPECT_EQ(fault_of(std::string(100'000, 'A')), "malformed");
}

TEST(ResumeToken, AnyTextIsRefusedOrIsWhatWasSealed) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string good = seal(sample(), key());
  for (int i = 0; i < 2000; ++i) {
    std::string text = good;
    for (size_t n = random() % 4; n > 0; --n)
      text[random() % text.size()] = "Az0-_= \n"[random() % 8];
    if (random() % 2 == 0) text.resize(random() % (text.size() + 1));
    EXPECT_EQ(fault_of(text).empty(), text == good) << text;
  }
}

class ResumeTokensTest : public ::testing::Test {
 protected:
  Error refused(const std::string& text, const RequestDigest& digest,
                std::optional<uint64_t> seed = std::nullopt) {
    const Result<ResumeToken> opened = tokens_.open(text, "resume_token", digest, seed);
    EXPECT_FALSE(opened);
    return opened ? Error{} : opened.error();
  }
  bool is_counted(const std::string& reason, int n) const {
    const std::string page = prometheus::TextSerializer().Serialize(registry_->Collect());
    return page.find("lockstep_resume_tokens_refused_total{reason=\"" + reason + "\"} " +
                     std::to_string(n) + "\n") != std::string::npos;
  }

  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  CoordinatorProbes probes_{registry_};
  const ResumeTokens tokens_{key(), probes_};
};

TEST_F(ResumeTokensTest, ATokenOpensWithItsRequestAndItsSeedOnly) {
  const std::string text = tokens_.seal(sample());
  EXPECT_TRUE(tokens_.open(text, "resume_token", sample().digest, std::nullopt));
  EXPECT_TRUE(tokens_.open(text, "resume_token", sample().digest, sample().seed));
  EXPECT_TRUE(is_counted("body", 0));
  RequestDigest other = sample().digest;
  other[31] ^= 1;
  EXPECT_EQ(refused(text, other).code, ErrorCode::kConflict);
  EXPECT_EQ(refused(text, sample().digest, 7).code, ErrorCode::kConflict);
  EXPECT_TRUE(is_counted("body", 2));
}

TEST_F(ResumeTokensTest, EveryRefusalNamesTheFieldAndIsCounted) {
  const RequestDigest digest = sample().digest;
  const Error malformed = refused("cut", digest);
  const Error version = refused(base64("\2"), digest);
  const Error forged = refused(seal(sample(), ResumeKey::random()), digest);
  EXPECT_EQ(malformed.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(version.code, ErrorCode::kUnsupportedParameter);
  EXPECT_EQ(forged.code, ErrorCode::kForbidden);
  for (const Error& error : {malformed, version, forged}) EXPECT_EQ(error.param, "resume_token");
  for (const char* reason : {"malformed", "version", "forged"})
    EXPECT_TRUE(is_counted(reason, 1)) << reason;
  for (const char* reason : {"body", "fingerprint", "position"})
    EXPECT_TRUE(is_counted(reason, 0)) << reason;
}

}  // namespace
}  // namespace lockstep
