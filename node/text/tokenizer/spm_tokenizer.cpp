// The SentencePiece tokenizer: plain text gets a space in front and is merged whole.
#include <algorithm>
#include <utility>

#include "node/text/tokenizer/spm_merger.h"
#include "node/text/tokenizer/tokenizer_base.h"
#include "node/text/tokenizer/tokenizer_kinds.h"

namespace lockstep {
namespace {

constexpr std::string_view kWhitespace = " \t\n\v\f\r";

// Undoes the spelling of spaces.
std::string unescaped(std::string_view token) {
  std::string out;
  for (size_t at; (at = token.find(kSpmSpace)) != token.npos;) {
    out += token.substr(0, at);
    out += ' ';
    token.remove_prefix(at + kSpmSpace.size());
  }
  return out += token;
}

// Appends `text` without spaces at its ends and with one space in place of several.
void append_collapsed(std::string_view text, std::string& out) {
  const size_t n_before = out.size();
  bool after_space = true;
  for (const char c : text) {
    if (c != ' ' || !after_space) out += c;
    after_space = c == ' ';
  }
  const auto ends_with = [&](std::string_view end) {
    return std::string_view(out).substr(n_before).ends_with(end);
  };
  for (;;) {
    if (ends_with(" ")) {
      out.pop_back();
    } else if (ends_with(kSpmSpace)) {
      out.resize(out.size() - kSpmSpace.size());
    } else {
      return;
    }
  }
}

class SpmTokenizer final : public TokenizerBase {
 public:
  SpmTokenizer(TokenizerData data, SpmMerger merger, std::shared_ptr<PieceCache> cache)
      : TokenizerBase(std::move(data), std::move(cache)), merger_(std::move(merger)) {
    spell_tokens();
  }

  int64_t least_tokens(std::string_view text) const override;
  std::string_view bytes_after(int32_t previous, int32_t id, bool special) const override;

 private:
  void spell_tokens();
  void encode_plain(std::string_view text, Scratch& scratch,
                    std::vector<int32_t>& ids) const override;
  bool begins_plain_text(int32_t previous) const;

  // Constant after construction.
  SpmMerger merger_;
  size_t longest_token_ = 1;  // bytes of text that one token can stand for
};

void SpmTokenizer::spell_tokens() {
  for (int32_t id = 0; id < vocab_size(); ++id) {
    const std::string& token = data().tokens[static_cast<size_t>(id)];
    longest_token_ = std::max(longest_token_, token.size());
    if (type(id) == TokenType::kNormal || type(id) == TokenType::kUnused) {
      spell(id, unescaped(token));
    }
  }
  for (int byte = 0; byte < 256 && merger_.has_bytes(); ++byte) {
    spell(merger_.byte_id(static_cast<uint8_t>(byte)), std::string(1, static_cast<char>(byte)));
  }
}

// White space that may be left out is not counted, and nothing is if one unknown token can stand
// for any number of characters.
int64_t SpmTokenizer::least_tokens(std::string_view text) const {
  if (!merger_.has_bytes()) return 0;
  size_t n_bytes = text.size();
  if (data().remove_extra_whitespaces || !data().rstrip_ids.empty()) {
    n_bytes = static_cast<size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return kWhitespace.find(c) == kWhitespace.npos; }));
  }
  return static_cast<int64_t>((n_bytes + longest_token_ - 1) / longest_token_);
}

// Whether plain text began behind the token `previous`, so that encoding put a space there. A token
// for characters that the vocabulary cannot spell stands inside of plain text.
bool SpmTokenizer::begins_plain_text(int32_t previous) const {
  if (previous < 0 || previous >= vocab_size()) return true;
  switch (type(previous)) {
    case TokenType::kControl:
    case TokenType::kUserDefined:
      return true;
    case TokenType::kUnknown:
      return merger_.has_bytes();
    case TokenType::kNormal:
    case TokenType::kUnused:
    case TokenType::kByte:
      return false;
  }
  return false;
}

std::string_view SpmTokenizer::bytes_after(int32_t previous, int32_t id, bool special) const {
  std::string_view bytes = token_bytes(id, special);
  if (!data().add_space_prefix || !bytes.starts_with(' ')) return bytes;
  const bool is_plain = type(id) == TokenType::kNormal || type(id) == TokenType::kUnused;
  if (is_plain && begins_plain_text(previous)) bytes.remove_prefix(1);
  return bytes;
}

void SpmTokenizer::encode_plain(std::string_view text, Scratch& scratch,
                                std::vector<int32_t>& ids) const {
  std::string& spelled = scratch.text;
  spelled.assign(data().add_space_prefix ? 1 : 0, ' ');
  const size_t n_prefix = spelled.size();
  if (data().remove_extra_whitespaces) {
    append_collapsed(text, spelled);
  } else {
    spelled += text;
  }
  if (spelled.size() > n_prefix) merger_.merge(spelled, scratch.spm, ids);
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_spm_tokenizer(TokenizerData data,
                                                      std::shared_ptr<PieceCache> pieces) {
  TRY(SpmMerger merger, SpmMerger::build(data));
  data.scores = {};  // not needed any more
  return std::unique_ptr<Tokenizer>(
      std::make_unique<SpmTokenizer>(std::move(data), std::move(merger), std::move(pieces)));
}

}  // namespace lockstep
