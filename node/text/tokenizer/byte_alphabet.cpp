#include "node/text/tokenizer/byte_alphabet.h"

#include <array>

#include "common/text/utf8.h"

namespace lockstep {
namespace {

constexpr char32_t kFirstBorrowed = 0x100;
constexpr size_t kBorrowed = 68;

bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<char32_t, 256> letter{};
  std::array<int, kFirstBorrowed + kBorrowed> byte{};  // by letter; -1 = not a letter

  Alphabet() {
    byte.fill(-1);
    char32_t borrowed = kFirstBorrowed;
    for (int b = 0; b < 256; ++b) {
      letter[b] = stands_for_itself(b) ? static_cast<char32_t>(b) : borrowed++;
      byte[letter[b]] = b;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

char32_t byte_to_letter(uint8_t byte) { return alphabet().letter[byte]; }

std::string spelled_bytes(std::string_view token) {
  const auto& byte = alphabet().byte;
  std::string out;
  while (!token.empty()) {
    const utf8::Step step = utf8::next(token);
    const bool is_letter = step.state == utf8::State::kChar && step.code_point < byte.size() &&
                           byte[step.code_point] >= 0;
    if (is_letter) {
      out.push_back(static_cast<char>(byte[step.code_point]));
    } else {
      out.append(token.substr(0, step.n_bytes));
    }
    token.remove_prefix(step.n_bytes);
  }
  return out;
}

}  // namespace lockstep
