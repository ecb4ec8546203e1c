// The regular expressions are those published with each model (tokenizer.json), and for "default",
// which no model publishes, those of llama.cpp; the names are GGUF's. White space is written out,
// because PCRE2's \s has U+180E as well, which Unicode has removed from White_Space.
#include "node/text/tokenizer/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <string>

#include "common/text/utf8.h"

// The inside of a character class: Unicode's White_Space property.
#define WHITE_SPACE                                           \
  R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a})" \
  R"(\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"
#define CONTRACTION "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
#define TRAILING_SPACE "[" WHITE_SPACE "]+(?![^" WHITE_SPACE "])|[" WHITE_SPACE "]+"
// The expression of Llama 3 and Qwen 2, which differ only in how many digits make one piece.
#define LLAMA3_LIKE(digits)                                              \
  CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits "| ?[^" WHITE_SPACE \
              R"(\p{L}\p{N}]+[\r\n]*|[)" WHITE_SPACE R"(]*[\r\n]+|)" TRAILING_SPACE

namespace lockstep {
namespace {

constexpr const char* kDigitAlone = R"(\p{N})";
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^)" WHITE_SPACE
                              R"(\p{L}\p{N}]+|)" TRAILING_SPACE;
constexpr const char* kLlama3 = LLAMA3_LIKE(R"(\p{N}{1,3})");
constexpr const char* kQwen2 = LLAMA3_LIKE(R"(\p{N})");

// GPT-4o's cut at capital letters: UPPER and LOWER are the letters that may stand in a word before
// and after its case changes; marks belong to both, and so do letters without case.
#define WORD_BEGIN R"([^\r\n\p{L}\p{N}]?)"
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define WORD_END "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
constexpr const char* kGpt4o =
    WORD_BEGIN UPPER "*" LOWER "+" WORD_END "|" WORD_BEGIN UPPER "+" LOWER "*" WORD_END
                     R"(|\p{N}{1,3}| ?[^)" WHITE_SPACE R"(\p{L}\p{N}]+[\r\n/]*|[)" WHITE_SPACE
                     R"(]*[\r\n]+|)" TRAILING_SPACE;
constexpr const char* kPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr const char* kNumber = R"(\p{N}+)";
constexpr const char* kThreeDigits = "[0-9][0-9][0-9]";

#undef WORD_END
#undef LOWER
#undef UPPER
#undef WORD_BEGIN
#undef LLAMA3_LIKE
#undef TRAILING_SPACE
#undef CONTRACTION
#undef WHITE_SPACE

// The rules of one model family. Each expression cuts the pieces of the expression before it; text
// between two matches is a piece too.
struct Family {
  std::string_view name;
  std::array<const char*, 4> expressions;  // null = none
  bool whole_pieces_first;
  bool adds_bos;  // default if the model file does not say; as in llama.cpp
};

constexpr std::array kFamilies = {
    Family{"gpt-2", {kGpt2}, false, false},
    Family{"default", {kPunctuation, kGpt2, kNumber, kThreeDigits}, false, false},
    Family{"smollm", {kDigitAlone, kGpt2}, false, false},
    Family{"qwen2", {kQwen2}, false, false},
    Family{"deepseek-r1-qwen", {kQwen2}, false, false},
    Family{"llama-bpe", {kLlama3}, true, true},
    Family{"llama3", {kLlama3}, true, true},
    Family{"llama-v3", {kLlama3}, true, true},
    Family{"smaug-bpe", {kLlama3}, true, false},  // of SmolLM3, whose tokens are Llama 3's
    Family{"gpt-4o", {kGpt4o}, false, false},     // of Phi-4-mini
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;
using Match = std::unique_ptr<pcre2_match_data, FreeMatch>;
using MatchContext = std::unique_ptr<pcre2_match_context, FreeContext>;

Code compile(const char* expression) {
  int error = 0;
  PCRE2_SIZE error_at = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression), PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_UCP, &error, &error_at, nullptr));
  CHECK(code != nullptr);  // the expressions are constants of this file
  // Without JIT (on an unusual processor) matching is slower but gives the same result.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return code;
}

// The expressions never backtrack more than once over a run. PCRE2's limits are made for hostile
// expressions; here they would only make the cut of long runs differ from the cut of short ones.
MatchContext unbounded_context() {
  MatchContext context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), UINT32_MAX);
  pcre2_set_depth_limit(context.get(), UINT32_MAX);
  pcre2_set_heap_limit(context.get(), UINT32_MAX);
  return context;
}

// Cuts `text`, which must be valid UTF-8.
void split_by(const pcre2_code* code, pcre2_match_context* context, pcre2_match_data* match,
              std::string_view text, std::vector<std::string_view>& pieces) {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t begin = 0;
  while (begin < text.size()) {
    const int n_matched =
        pcre2_match(code, subject, text.size(), begin, PCRE2_NO_UTF_CHECK, match, context);
    if (n_matched < 0) break;
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match);
    if (range[0] > begin) pieces.push_back(text.substr(begin, range[0] - begin));
    pieces.push_back(text.substr(range[0], range[1] - range[0]));
    begin = range[1];
  }
  if (begin < text.size()) pieces.push_back(text.substr(begin));
}

size_t valid_prefix(std::string_view text) {
  size_t n = 0;
  while (n < text.size()) {
    const utf8::Step step = utf8::next(text.substr(n));
    if (step.state != utf8::State::kChar) break;
    n += step.n_bytes;
  }
  return n;
}

}  // namespace

struct PreTokenizer::Impl {
  std::vector<Code> codes;
  MatchContext context = unbounded_context();
  bool whole_pieces_first = false;

  void split_valid(std::string_view text, pcre2_match_data* match,
                   std::vector<std::string_view>& pieces) const {
    if (codes.size() == 1) {
      return split_by(codes[0].get(), context.get(), match, text, pieces);
    }
    std::vector<std::string_view> coarse = {text}, fine;
    for (const Code& code : codes) {
      fine.clear();
      for (std::string_view piece : coarse) {
        split_by(code.get(), context.get(), match, piece, fine);
      }
      coarse.swap(fine);
    }
    pieces.insert(pieces.end(), coarse.begin(), coarse.end());
  }
};

PreTokenizer::PreTokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::make(std::string_view name) {
  for (const Family& family : kFamilies) {
    if (family.name != name) continue;
    auto impl = std::make_unique<Impl>();
    impl->whole_pieces_first = family.whole_pieces_first;
    for (const char* expression : family.expressions) {
      if (expression != nullptr) impl->codes.push_back(compile(expression));
    }
    return PreTokenizer(std::move(impl));
  }
  std::string known;
  for (const Family& family : kFamilies) {
    known += (known.empty() ? "" : ", ") + std::string(family.name);
  }
  return Error{ErrorCode::kModelLoadFailed,
               "pre-tokenizer '" + std::string(name) + "' is not supported; known: " + known,
               {}};
}

bool PreTokenizer::family_adds_bos(std::string_view name) {
  return std::any_of(kFamilies.begin(), kFamilies.end(), [name](const Family& family) {
    return family.name == name && family.adds_bos;
  });
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  const Match match(pcre2_match_data_create(1, nullptr));
  while (!text.empty()) {
    const size_t n_valid = valid_prefix(text);
    if (n_valid > 0) impl_->split_valid(text.substr(0, n_valid), match.get(), pieces);
    text.remove_prefix(n_valid);
    if (text.empty()) break;
    const size_t n_invalid = utf8::next(text).n_bytes;
    for (size_t i = 0; i < n_invalid; ++i) pieces.push_back(text.substr(i, 1));
    text.remove_prefix(n_invalid);
  }
}

bool PreTokenizer::whole_pieces_first() const { return impl_->whole_pieces_first; }

}  // namespace lockstep
