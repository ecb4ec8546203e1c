#include "node/text/tokenizer/byte_alphabet.h"

#include <gtest/gtest.h>

#include "common/text/utf8.h"

namespace lockstep {
namespace {

TEST(ByteAlphabet, SpellsEveryByteAsOneCharacterOfItsOwn) {
  std::string spelled, bytes;
  for (int byte = 0; byte < 256; ++byte) {
    utf8::append(byte_to_letter(static_cast<uint8_t>(byte)), spelled);
    bytes.push_back(static_cast<char>(byte));
  }
  EXPECT_EQ(spelled_bytes(spelled), bytes);
}

TEST(ByteAlphabet, IsTheOneOfGpt2) {
  EXPECT_EQ(spelled_bytes("ĠHelloĊ"), " Hello\n");
  EXPECT_EQ(spelled_bytes("Ã©"), "é");
  EXPECT_EQ(spelled_bytes("中<"), "中<") << "what is no letter stays";
}

}  // namespace
}  // namespace lockstep
