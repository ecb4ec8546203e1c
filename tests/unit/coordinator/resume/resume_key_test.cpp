// ResumeKey: what a key file may hold, and that a MAC depends on the key and on every byte.
#include "coordinator/resume/resume_key.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

class KeyFile {
 public:
  explicit KeyFile(const std::string& content) { path_.write(content); }
  const std::string& path() const { return path_.str(); }

 private:
  const testing::TemporaryPath path_;
};

std::string refusal(const std::string& path) {
  const Result<ResumeKey> key = ResumeKey::from_file(path);
  EXPECT_FALSE(key);
  return key ? "" : key.error().message;
}

TEST(ResumeKey, OneLineEndIsNotPartOfTheSecret) {
  const std::string secret(32, 's');
  const std::string wanted = ResumeKey::from_secret(secret).mac("message");
  for (const char* end : {"", "\n"}) {
    const KeyFile file(secret + end);
    const Result<ResumeKey> key = ResumeKey::from_file(file.path());
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_EQ(key->mac("message"), wanted);
  }
  const KeyFile two_ends(secret + "\n\n");
  EXPECT_NE(ResumeKey::from_file(two_ends.path())->mac("message"), wanted);
}

TEST(ResumeKey, AFileOfAnotherSizeIsRefusedWithTheNumbers) {
  for (const auto& [content, n] : {std::pair(std::string(), "0"),
                                   {std::string(31, 's'), "31"},
                                   {std::string(31, 's') + "\n", "31"},
                                   {std::string(4097, 's'), "more"}}) {
    const KeyFile file(content);
    EXPECT_EQ(refusal(file.path()),
              "resume_key_file '" + file.path() + "' must hold 32 to 4096 bytes, holds " + n);
  }
  const KeyFile largest(std::string(4096, 's') + "\n");
  EXPECT_TRUE(ResumeKey::from_file(largest.path()));
  EXPECT_EQ(refusal("/dev/zero"),
            "resume_key_file '/dev/zero' must hold 32 to 4096 bytes, holds more");
}

TEST(ResumeKey, AFileThatCannotBeReadIsNamed) {
  EXPECT_EQ(refusal("/nowhere/key"),
            "resume_key_file '/nowhere/key' cannot be read: No such file or directory");
  EXPECT_EQ(refusal("/"), "resume_key_file '/' cannot be read: Is a directory");
}

TEST(ResumeKey, AMacIsThatOfOneKeyAndOneMessage) {
  const ResumeKey key = ResumeKey::from_secret(std::string(32, 'a'));
  const ResumeKey other = ResumeKey::from_secret(std::string(32, 'b'));
  const std::string mac = key.mac("message");
  EXPECT_EQ(mac.size(), ResumeKey::kMacBytes);
  EXPECT_TRUE(key.verify(mac, "message"));
  EXPECT_FALSE(other.verify(mac, "message"));
  EXPECT_FALSE(key.verify(mac, "messagf"));
  EXPECT_FALSE(key.verify(mac.substr(1), "message"));
  EXPECT_FALSE(key.verify("", "message"));
  for (size_t i = 0; i < mac.size(); ++i) {
    std::string changed = mac;
    changed[i] ^= 1;
    EXPECT_FALSE(key.verify(changed, "message")) << i;
  }
  EXPECT_NE(ResumeKey::random().mac("message"), ResumeKey::random().mac("message"));
}

}  // namespace
}  // namespace lockstep
