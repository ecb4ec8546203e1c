#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/text/utf8.h"
#include "node/text/stream/stream_decoder.h"
#include "node/text/tokenizer/piece_cache.h"
#include "tests/unit/text/golden_file.h"
#include "tests/unit/text/random_text.h"
#include "tests/unit/text/small_spm_vocabulary.h"

namespace lockstep {
namespace {

using testing::comes_back_as;
using testing::SmallSpmVocabulary;
using Ids = std::vector<int32_t>;
using Names = std::vector<std::string>;

Names encode(const SmallSpmVocabulary& vocabulary, std::string_view text,
             bool parse_special = true) {
  return vocabulary.names(vocabulary.make()->encode(text, parse_special, false));
}

std::string decode(const SmallSpmVocabulary& vocabulary, const Names& names, bool special = true) {
  Ids ids;
  for (const std::string& name : names) ids.push_back(vocabulary.id(name));
  return vocabulary.make()->decode(ids, special);
}

TEST(SpmTokenizer, MergesByScore) {
  const SmallSpmVocabulary vocabulary;
  EXPECT_EQ(encode(vocabulary, "hello world"), (Names{"▁hello", "▁world"}));
  EXPECT_EQ(encode(vocabulary, "hellx"), (Names{"▁hell", "x"}));
  EXPECT_EQ(encode(vocabulary, "xhello"), (Names{"▁", "x", "hello"}));
  EXPECT_EQ(encode(vocabulary, "xaaa"), (Names{"▁", "x", "aa", "a"})) << "of equals the leftmost";
  EXPECT_EQ(encode(vocabulary, "xaaaaaaa"), (Names{"▁", "x", "aaaa", "aa", "a"}));
}

TEST(SpmTokenizer, PlainTextBeginsWithASpaceWhereTheModelWantsOne) {
  SmallSpmVocabulary vocabulary;
  EXPECT_EQ(encode(vocabulary, ""), Names{});
  EXPECT_EQ(encode(vocabulary, " hello"), (Names{"▁", "▁hello"}));
  EXPECT_EQ(encode(vocabulary, "   x"), (Names{"▁▁▁▁", "x"}));
  EXPECT_EQ(encode(vocabulary, "x<|user|>hello</s>"),
            (Names{"▁", "x", "<|user|>", "▁hello", "</s>"}))
      << "behind a special token too, as in llama.cpp";
  vocabulary.data.add_space_prefix = false;
  EXPECT_EQ(encode(vocabulary, "hello<|user|>x hello"),
            (Names{"hello", "<|user|>", "x", "▁hello"}));
}

TEST(SpmTokenizer, CharactersWithoutATokenBecomeTheirBytes) {
  const SmallSpmVocabulary vocabulary;
  EXPECT_EQ(encode(vocabulary, "\n"), (Names{"▁", "<0x0A>"}));
  EXPECT_EQ(encode(vocabulary, "🙂"), (Names{"▁", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>"}));
  EXPECT_EQ(encode(vocabulary, "é"), (Names{"▁", "<0xC3>", "<0xA9>"}))
      << "a letter of a token, but no token";
  EXPECT_EQ(encode(vocabulary, "é!"), (Names{"▁", "é!"}));
  EXPECT_EQ(encode(vocabulary, "h\xFFh\xE2\x82"),
            (Names{"▁", "h", "<0xFF>", "h", "<0xE2>", "<0x82>"}));
}

TEST(SpmTokenizer, WithoutByteTokensARunOfUnknownCharactersIsOneToken) {
  SmallSpmVocabulary vocabulary;
  for (TokenType& type : vocabulary.data.types)
    if (type == TokenType::kByte) type = TokenType::kControl;
  EXPECT_EQ(encode(vocabulary, "x🙂\nx\xFF"), (Names{"▁", "x", "<unk>", "x", "<unk>"}));
  EXPECT_EQ(encode(vocabulary, "<unk>🙂"), (Names{"<unk>", "▁", "<unk>"}));
  EXPECT_EQ(decode(vocabulary, {"▁", "x", "<unk>", "▁hello"}), "x<unk> hello");
  EXPECT_EQ(vocabulary.make()->least_tokens("hello"), 0) << "one token can be any number of bytes";
}

TEST(SpmTokenizer, ControlTokensAreNeverMadeOfText) {
  SmallSpmVocabulary vocabulary;
  for (const char* part : {"<", "s", ">", "<s", "s>"}) vocabulary.add_merged(part);
  EXPECT_EQ(encode(vocabulary, "<s>", false), (Names{"▁", "<s", ">"}));
  EXPECT_EQ(encode(vocabulary, "<s>", true), (Names{"<s>"}));
  EXPECT_EQ(encode(vocabulary, "x<tool>x", false), (Names{"▁", "x", "<tool>", "▁", "x"}))
      << "user-defined: always";
  EXPECT_EQ(encode(vocabulary, "<0x0A>", false).front(), "▁") << "the name of a byte is text";
  EXPECT_GT(encode(vocabulary, "<0x0A>", false).size(), 2u);
}

TEST(SpmTokenizer, UnusedTokensFallApartIntoTheirParts) {
  SmallSpmVocabulary vocabulary;
  vocabulary.data.types[static_cast<size_t>(vocabulary.id("hell"))] = TokenType::kUnused;
  EXPECT_EQ(encode(vocabulary, "xhellx"), (Names{"▁", "x", "he", "ll", "x"}));
  EXPECT_EQ(encode(vocabulary, "xhello"), (Names{"▁", "x", "hello"})) << "they merge further";
  vocabulary.data.types[static_cast<size_t>(vocabulary.id("he"))] = TokenType::kUnused;
  EXPECT_EQ(encode(vocabulary, "xhellx"), (Names{"▁", "x", "h", "e", "ll", "x"}));
}

TEST(SpmTokenizer, ExtraSpacesAreLeftOutWhereTheModelWantsIt) {
  SmallSpmVocabulary vocabulary;
  vocabulary.data.remove_extra_whitespaces = true;
  EXPECT_EQ(encode(vocabulary, "  hello   world "), (Names{"▁hello", "▁world"}));
  EXPECT_EQ(encode(vocabulary, "   "), Names{});
  EXPECT_EQ(encode(vocabulary, " x \n"), (Names{"▁", "x", "▁", "<0x0A>"})) << "spaces only";
  EXPECT_EQ(vocabulary.make()->least_tokens(std::string(1000, ' ')), 0);
}

TEST(SpmTokenizer, SomeTokensTakeTheWhiteSpaceBehindThemAway) {
  SmallSpmVocabulary vocabulary;
  vocabulary.data.rstrip_ids = {vocabulary.id("<|user|>")};
  EXPECT_EQ(encode(vocabulary, "<|user|>\n \thello </s>\n"),
            (Names{"<|user|>", "▁hello", "▁", "</s>", "▁", "<0x0A>"}));
  EXPECT_EQ(encode(vocabulary, "<|user|> \n<|user|> "), (Names{"<|user|>", "<|user|>"}));
  EXPECT_EQ(encode(vocabulary, "\n<|user|>", false).size(), 2 + 8u) << "this one is text";
}

TEST(SpmTokenizer, TheBeginningTokenIsAddedWhereTheModelWantsIt) {
  SmallSpmVocabulary vocabulary;
  EXPECT_EQ(vocabulary.make()->encode("hello", true, true), (Ids{vocabulary.id("▁hello")}));
  vocabulary.data.add_bos = true;
  EXPECT_EQ(vocabulary.make()->encode("hello", true, true),
            (Ids{vocabulary.data.bos_id, vocabulary.id("▁hello")}));
}

TEST(SpmTokenizer, DecodingTakesTheSpaceAwayThatEncodingPutInFront) {
  const SmallSpmVocabulary vocabulary;
  EXPECT_EQ(decode(vocabulary, {"▁hello", "▁world"}), "hello world");
  EXPECT_EQ(decode(vocabulary, {"▁▁", "x"}), " x");
  EXPECT_EQ(decode(vocabulary, {"hello"}), "hello");
  EXPECT_EQ(decode(vocabulary, {"<s>", "▁hello", "<|user|>", "▁hello", "▁", "<0x0A>"}),
            "<s>hello<|user|>hello \n");
  EXPECT_EQ(decode(vocabulary, {"<s>", "▁hello", "<|user|>", "▁hello"}, false), "hellohello");
  EXPECT_EQ(decode(vocabulary, {"<0x20>", "x"}), " x") << "a byte is no prefix";
  SmallSpmVocabulary other;
  other.data.add_space_prefix = false;
  EXPECT_EQ(decode(other, {"▁hello"}), " hello");
}

TEST(SpmTokenizer, ATokensBytesDependOnWhatIsBeforeIt) {
  const SmallSpmVocabulary vocabulary;
  const auto tokenizer = vocabulary.make();
  const int32_t hello = vocabulary.id("▁hello");
  EXPECT_EQ(tokenizer->token_bytes(hello, true), " hello");
  EXPECT_EQ(tokenizer->bytes_after(-1, hello, true), "hello");
  EXPECT_EQ(tokenizer->bytes_after(vocabulary.id("<|user|>"), hello, true), "hello");
  EXPECT_EQ(tokenizer->bytes_after(vocabulary.id("x"), hello, true), " hello");
  EXPECT_EQ(tokenizer->bytes_after(vocabulary.id("<0x0A>"), hello, true), " hello");
  EXPECT_EQ(tokenizer->token_bytes(vocabulary.id("<0xE2>"), true), "\xE2");
  EXPECT_EQ(tokenizer->token_bytes(vocabulary.id("<s>"), false), "");
}

// ---- properties

// SentencePiece's byte-pair encoding by its definition: repeats the best merge, leftmost first.
Names merge_slowly(Names symbols, const SmallSpmVocabulary& vocabulary) {
  for (;;) {
    float best = 0;
    size_t best_at = symbols.size();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const int32_t id = vocabulary.id(symbols[i] + symbols[i + 1]);
      if (id < 0) continue;
      const float score = vocabulary.data.scores[static_cast<size_t>(id)];
      if (best_at < symbols.size() && score <= best) continue;
      best = score;
      best_at = i;
    }
    if (best_at == symbols.size()) return symbols;
    symbols[best_at] += symbols[best_at + 1];
    symbols.erase(symbols.begin() + static_cast<long>(best_at) + 1);
  }
}

TEST(SpmTokenizer, RandomScoresGiveWhatTheDefinitionGives) {
  testing::SeededRandom random(35);
  const Names letters = {"A", "B", "é", "▁"};
  for (int round = 0; round < 60; ++round) {
    SmallSpmVocabulary vocabulary;
    const auto pick = [&] { return letters[static_cast<size_t>(random.integer(0, 3))]; };
    for (const std::string& letter : letters)
      if (vocabulary.id(letter) < 0) vocabulary.add(letter, TokenType::kNormal);
    for (int i = 0; i < 25; ++i) {
      std::string token;
      for (int64_t n = random.integer(2, 5); n > 0; --n) token += pick();
      if (vocabulary.id(token) < 0)  // few scores, so that many are equal
        vocabulary.add(token, TokenType::kNormal, -static_cast<float>(random.integer(0, 6)));
    }
    const auto tokenizer = vocabulary.make();
    for (int i = 0; i < 40; ++i) {
      Names symbols = {"▁"};
      std::string text;
      for (int64_t n = random.integer(1, 40); n > 0; --n) {
        symbols.push_back(pick());
        text += symbols.back() == "▁" ? " " : symbols.back();
      }
      ASSERT_EQ(vocabulary.names(tokenizer->encode(text, true, false)),
                merge_slowly(symbols, vocabulary))
          << text;
    }
  }
}

std::string stream(const Tokenizer& tokenizer, const Ids& ids) {
  const StopSpec stops{.strings = {}, .include_in_output = false, .skip_special_tokens = false};
  StreamDecoder decoder;
  decoder.start(tokenizer, stops);
  std::string text;
  for (const int32_t id : ids) {
    decoder.push(id, text);
    EXPECT_TRUE(utf8::is_valid(text));
  }
  decoder.finish(text);
  return text;
}

TEST(SpmTokenizer, DecodingWhatWasEncodedGivesTheTextBack) {
  testing::SeededRandom random(22);
  for (const bool prefix : {true, false}) {
    SmallSpmVocabulary vocabulary;
    vocabulary.data.add_space_prefix = prefix;
    const auto tokenizer = vocabulary.make();
    for (int i = 0; i < 1000; ++i) {
      std::string text =
          random.chance(0.3) ? testing::random_bytes(random, 80) : testing::random_text(random, 40);
      if (random.chance(0.3))
        text += "<|user|>" + testing::random_text(random, 10) + "<tool> hello";
      const Ids ids = tokenizer->encode(text, random.chance(0.5), false);
      const std::string expected = comes_back_as(text);
      ASSERT_EQ(tokenizer->decode(ids, true), expected);
      ASSERT_EQ(stream(*tokenizer, ids), utf8::replace_invalid(expected));
      ASSERT_LE(tokenizer->least_tokens(text), std::ssize(ids));
    }
  }
}

TEST(SpmTokenizer, AStreamBehindAPromptContinuesItsText) {
  testing::SeededRandom random(23);
  const SmallSpmVocabulary vocabulary;
  const auto tokenizer = vocabulary.make();
  const StopSpec stops{.strings = {}, .include_in_output = false, .skip_special_tokens = false};
  for (int i = 0; i < 300; ++i) {
    const std::string text = comes_back_as(testing::random_text(random, 20)) + "<|user|>hello 🙂";
    const Ids ids = tokenizer->encode(text, true, false);
    const auto n_prompt = static_cast<size_t>(random.integer(1, std::ssize(ids) - 1));
    const std::string before =
        tokenizer->decode(Ids(ids.begin(), ids.begin() + static_cast<long>(n_prompt)), true);
    StreamDecoder decoder;
    decoder.start(*tokenizer, stops, {.previous = ids[n_prompt - 1]});
    std::string output;
    for (size_t at = n_prompt; at < ids.size(); ++at) decoder.push(ids[at], output);
    decoder.finish(output);
    ASSERT_EQ(utf8::replace_invalid(text.substr(before.size())), output);
  }
}

TEST(SpmTokenizer, TheCacheOfPiecesNeverShows) {
  testing::SeededRandom random(24);
  SmallSpmVocabulary vocabulary;
  vocabulary.data.rstrip_ids = {vocabulary.id("<|user|>")};
  const auto cache = std::make_shared<PieceCache>(size_t{1} << 20);
  const auto plain = vocabulary.make(), cached = make_tokenizer(vocabulary.data, cache).value();
  for (int i = 0; i < 60; ++i) {
    const std::string piece = testing::random_text(random, 120);
    for (const std::string& text : {piece, "<|user|> \n" + piece, "</s>" + piece}) {
      ASSERT_EQ(cached->encode(text, true, false), plain->encode(text, true, false));
    }
  }
  EXPECT_GT(cache->n_bytes(), 0u);
}

TEST(SpmTokenizer, ALongRunIsNotSlow) {
  const auto tokenizer = SmallSpmVocabulary().make();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer->encode("x" + std::string(400'000, 'a'), true, false).size(), 100'002u);
  EXPECT_EQ(tokenizer->encode(std::string(399'999, ' '), true, false).size(), 100'000u);
  const auto elapsed = std::chrono::steady_clock::now() - start;
  EXPECT_LT(elapsed, std::chrono::seconds(10)) << "quadratic would take minutes";
}

// ---- malformed model files

std::string refusal(const TokenizerData& data) {
  auto tokenizer = make_tokenizer(data);
  if (tokenizer) return "accepted";
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kModelLoadFailed);
  return tokenizer.error().message;
}

TEST(SpmTokenizerFile, InconsistenciesAreNamedWithTheirNumbers) {
  const SmallSpmVocabulary good;
  EXPECT_EQ(refusal(good.data), "accepted");
  const auto expect_refusal = [&](auto change, const std::string& part) {
    TokenizerData data = good.data;
    change(data);
    EXPECT_NE(refusal(data).find(part), std::string::npos) << refusal(data);
  };
  const std::string n_tokens = std::to_string(good.data.tokens.size());
  expect_refusal([](auto& d) { d.scores.pop_back(); }, n_tokens + " tokens but ");
  expect_refusal([](auto& d) { d.scores.clear(); }, "0 scores");
  expect_refusal([](auto& d) { d.scores[7] = std::nanf(""); }, "score of token 7");
  expect_refusal([](auto& d) { d.types.pop_back(); }, "token types");
  expect_refusal([](auto& d) { d.tokens[3 + 0x41] = "<0x4G>"; }, "byte token 68");
  expect_refusal([](auto& d) { d.tokens[3 + 0x41] = "<0x-1>"; }, "byte token 68");
  expect_refusal([](auto& d) { d.types[3 + 0x41] = TokenType::kNormal; }, "255 of the 256");
  expect_refusal([&](auto& d) { d.types[static_cast<size_t>(good.id("▁"))] = TokenType::kControl; },
                 "no token for a space");
  expect_refusal(
      [&](auto& d) { d.tokens[static_cast<size_t>(good.id("x"))] = std::string(257, 'x'); },
      "257 bytes");
  expect_refusal([](auto& d) { d.rstrip_ids = {1, 9999}; }, "9999");
  expect_refusal([](auto& d) { d.rstrip_ids = {-1}; }, "-1");
  expect_refusal(
      [](auto& d) {
        d.unk_id = -1;
        for (TokenType& type : d.types)
          if (type == TokenType::kByte) type = TokenType::kControl;
      },
      "neither byte tokens nor an unknown token");
}

// ---- ids of SentencePiece over vocabularies that it trained

class SpmGolden : public ::testing::TestWithParam<const char*> {};

TokenizerData golden_data(const nlohmann::json& golden) {
  TokenizerData data;
  data.model = "llama";
  data.tokens = golden.at("tokens").get<Names>();
  data.scores = golden.at("scores").get<std::vector<float>>();
  for (const int type : golden.at("types")) data.types.push_back(static_cast<TokenType>(type - 1));
  data.add_space_prefix = golden.at("add_space_prefix");
  data.remove_extra_whitespaces = golden.at("remove_extra_whitespaces");
  data.unk_id = 0;
  return data;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

TEST_P(SpmGolden, IdsAreThoseOfSentencePiece) {
  const auto golden = testing::golden_file("spm.json").at(GetParam());
  const auto tokenizer = make_tokenizer(golden_data(golden)).value();
  for (const auto& entry : golden.at("cases")) {
    const std::string text =
        entry.contains("hex") ? from_hex(entry.at("hex")) : entry.at("text").get<std::string>();
    const Ids ids = tokenizer->encode(text, false, false);
    EXPECT_EQ(ids, entry.at("ids").get<Ids>()) << entry;
    if (GetParam() == std::string("bytes")) {
      EXPECT_EQ(tokenizer->decode(ids, true), comes_back_as(text)) << entry;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, SpmGolden,
                         ::testing::Values("bytes", "collapsing", "unknown"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep
