#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "tests/unit/text/golden_file.h"
#include "tests/unit/text/random_text.h"
#include "tests/unit/text/small_vocabulary.h"

namespace lockstep {
namespace {

using testing::SmallVocabulary;
using Ids = std::vector<int32_t>;
using Names = std::vector<std::string>;

Names encode(const SmallVocabulary& vocabulary, std::string_view text, bool parse_special = true) {
  return vocabulary.names(vocabulary.make()->encode(text, parse_special, false));
}

TEST(BpeTokenizer, MergesInTheOrderTheyAreListed) {
  const SmallVocabulary vocabulary;
  EXPECT_EQ(encode(vocabulary, "hello world"), (Names{"hello", "Ġworld"}));
  EXPECT_EQ(encode(vocabulary, "hellx"), (Names{"hell", "x"}));
  EXPECT_EQ(encode(vocabulary, "aaa"), (Names{"aa", "a"})) << "of equals the leftmost first";
  EXPECT_EQ(encode(vocabulary, "aaaaaaa"), (Names{"aaaa", "aa", "a"}));
  EXPECT_EQ(encode(vocabulary, ""), Names{});
}

TEST(BpeTokenizer, SpecialTokensAreTextUnlessAskedFor) {
  const SmallVocabulary vocabulary;
  EXPECT_EQ(encode(vocabulary, "he<|end|>"), (Names{"he", "<|end|>"}));
  EXPECT_EQ(encode(vocabulary, "<|end|>>"), (Names{"<|end|>>"})) << "the longest";
  EXPECT_EQ(encode(vocabulary, "<|end|>", false), (Names{"<", "|", "e", "n", "d", "|", ">"}));
  EXPECT_EQ(encode(vocabulary, "<tool>", false), (Names{"<tool>"})) << "user-defined: always";
  EXPECT_EQ(encode(vocabulary, "[unused]").size(), 8u) << "unused: never";
}

TEST(BpeTokenizer, TheBeginningTokenIsAddedWhereTheModelWantsIt) {
  SmallVocabulary vocabulary;
  EXPECT_EQ(vocabulary.make()->encode("he", true, true), (Ids{vocabulary.id("he")}));
  vocabulary.data.add_bos = true;
  const auto tokenizer = vocabulary.make();
  EXPECT_EQ(tokenizer->encode("he", true, true), (Ids{tokenizer->bos_id(), vocabulary.id("he")}));
  EXPECT_EQ(tokenizer->encode("he", true, false), (Ids{vocabulary.id("he")}));
  vocabulary.data.bos_id = -1;
  EXPECT_EQ(vocabulary.make()->encode("he", true, true), (Ids{vocabulary.id("he")}));
}

TEST(BpeTokenizer, Llama3TakesAPieceThatIsATokenWhole) {
  SmallVocabulary vocabulary("llama-bpe");
  vocabulary.add("Ġhello", TokenType::kNormal);  // no merge makes it
  EXPECT_EQ(encode(vocabulary, "hello hello"), (Names{"hello", "Ġhello"}));
  vocabulary.data.pre = "gpt-2";
  EXPECT_EQ(encode(vocabulary, "hello hello"), (Names{"hello", "Ġ", "hello"}));
}

TEST(BpeTokenizer, NoTextHasFewerTokensThanItsBytesSay) {
  SmallVocabulary whole, gaps;
  gaps.data.tokens[static_cast<size_t>(gaps.id("x"))] = "[gone]";
  gaps.data.types[static_cast<size_t>(gaps.id("[gone]"))] = TokenType::kUnused;
  testing::SeededRandom random(20261130);
  for (const SmallVocabulary* vocabulary : {&whole, &gaps}) {
    const auto tokenizer = vocabulary->make();
    EXPECT_EQ(tokenizer->least_tokens(""), 0);
    for (const char* text : {"<|begin|><|end|>><|end|>>", "aaaaaaaa", "xxxxxxxxxxxxxxxxxxxxxxx"}) {
      EXPECT_LE(tokenizer->least_tokens(text), std::ssize(tokenizer->encode(text, true, false)));
    }
    for (int i = 0; i < 300; ++i) {
      const std::string text = testing::random_text(random, 60);
      const int64_t n_tokens = std::ssize(tokenizer->encode(text, true, false));
      EXPECT_LE(tokenizer->least_tokens(text), n_tokens) << text;
    }
  }
  EXPECT_EQ(whole.make()->least_tokens(std::string(9 * 100, 'a')), 100)
      << "<|begin|> has nine bytes";
  EXPECT_EQ(gaps.make()->least_tokens(std::string(900, 'x')), 0);
}

TEST(BpeTokenizer, BytesThatTheVocabularyLacksAreLeftOut) {
  SmallVocabulary vocabulary;
  vocabulary.data.tokens[vocabulary.id("x")] = "[gone]";
  EXPECT_EQ(encode(vocabulary, "hxellxo"), (Names{"h", "e", "ll", "o"}))
      << "what stood beside them does not merge";
}

TEST(BpeTokenizer, ControlTokensHaveNoBytesUnlessAskedFor) {
  const SmallVocabulary vocabulary;
  const auto tokenizer = vocabulary.make();
  const int32_t control = vocabulary.id("<|end|>");
  EXPECT_EQ(tokenizer->token_bytes(control, false), "");
  EXPECT_EQ(tokenizer->token_bytes(control, true), "<|end|>");
  EXPECT_EQ(tokenizer->token_bytes(vocabulary.id("<tool>"), false), "<tool>");
  EXPECT_EQ(tokenizer->token_bytes(vocabulary.id("Ġworld"), false), " world");
  EXPECT_EQ(tokenizer->token_bytes(vocabulary.id("[unused]"), true), "");
  for (const int32_t id : {-1, tokenizer->vocab_size(), INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(tokenizer->token_bytes(id, true), "") << id;
  }
  EXPECT_EQ(tokenizer->decode({vocabulary.id("hello"), control, vocabulary.id("Ġworld")}, false),
            "hello world");
}

TEST(BpeTokenizer, EveryEndTokenIsListedOnce) {
  SmallVocabulary vocabulary;
  vocabulary.data.extra_eog_ids = {vocabulary.id("<tool>"), vocabulary.data.eos_id};
  EXPECT_EQ(vocabulary.make()->end_ids(), (Ids{vocabulary.data.eos_id, vocabulary.id("<tool>")}));
  vocabulary.data.extra_eog_ids = {};
  vocabulary.data.eos_id = -1;
  EXPECT_EQ(vocabulary.make()->end_ids(), Ids{});
}

TEST(BpeTokenizer, DecodingWhatWasEncodedGivesTheTextBack) {
  testing::SeededRandom random(21);
  for (const char* pre : {"gpt-2", "smollm", "qwen2", "llama-bpe"}) {
    const auto tokenizer = SmallVocabulary(pre).make();
    for (int i = 0; i < 500; ++i) {
      const std::string text =
          random.chance(0.5) ? testing::random_bytes(random, 80) : testing::random_text(random, 40);
      const bool parse_special = random.chance(0.5);
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text, parse_special, false), true), text);
    }
  }
}

// Byte-pair encoding by its definition: repeats the best merge in the text, leftmost first.
Names merge_slowly(Names symbols, const std::vector<std::string>& merges) {
  for (;;) {
    size_t best_rank = merges.size(), best_at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = std::find(merges.begin(), merges.end(), symbols[i] + " " + symbols[i + 1]);
      const auto rank = static_cast<size_t>(found - merges.begin());
      if (rank < best_rank) {
        best_rank = rank;
        best_at = i;
      }
    }
    if (best_rank == merges.size()) return symbols;
    symbols[best_at] += symbols[best_at + 1];
    symbols.erase(symbols.begin() + static_cast<long>(best_at) + 1);
  }
}

TEST(BpeTokenizer, RandomMergesGiveWhatTheDefinitionGives) {
  testing::SeededRandom random(33);
  for (int round = 0; round < 50; ++round) {
    SmallVocabulary vocabulary;
    vocabulary.data.merges.clear();
    Names symbols = {"a", "b", "c"};
    const auto pick = [&] {
      return symbols[static_cast<size_t>(random.integer(0, std::ssize(symbols) - 1))];
    };
    for (int i = 0; i < 12; ++i) {
      const std::string left = pick(), right = pick();
      if (vocabulary.id(left + right) >= 0) continue;
      vocabulary.add_merge(left + " " + right);
      symbols.push_back(left + right);
    }
    for (int i = 0; i < 40; ++i) {
      Names letters;
      std::string text;
      for (int64_t n = random.integer(1, 40); n > 0; --n) {
        letters.emplace_back(1, static_cast<char>('a' + random.integer(0, 2)));
        text += letters.back();
      }
      ASSERT_EQ(encode(vocabulary, text), merge_slowly(letters, vocabulary.data.merges)) << text;
    }
  }
}

TEST(BpeTokenizer, ALongRunIsNotSlow) {
  SmallVocabulary vocabulary;
  const auto tokenizer = vocabulary.make();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer->encode(std::string(200'000, 'a'), true, false).size(), 50'000u);
  const auto elapsed = std::chrono::steady_clock::now() - start;
  EXPECT_LT(elapsed, std::chrono::seconds(10)) << "quadratic would take minutes";
}

TEST(BpeTokenizer, ManyThreadsMayShareOne) {
  const auto tokenizer = SmallVocabulary("smollm").make();
  const std::string text = "hello world 123 <|end|> aaaaaaa";
  const Ids expected = tokenizer->encode(text, true, false);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 100; ++n) EXPECT_EQ(tokenizer->encode(text, true, false), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// ---- malformed model files

std::string refusal(const TokenizerData& data) {
  auto tokenizer = make_tokenizer(data);
  if (tokenizer) return "accepted";
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kModelLoadFailed);
  return tokenizer.error().message;
}

TEST(BpeTokenizerFile, WhatIsNotSupportedIsNamed) {
  TokenizerData data = SmallVocabulary().data;
  data.model = "t5";
  EXPECT_NE(refusal(data).find("'t5'"), std::string::npos);
  data.model = "gpt2";
  data.pre = "tekken";
  EXPECT_NE(refusal(data).find("'tekken'"), std::string::npos);
}

TEST(BpeTokenizerFile, InconsistenciesAreNamedWithTheirNumbers) {
  const TokenizerData good = SmallVocabulary().data;
  EXPECT_EQ(refusal(good), "accepted");
  const auto expect_refusal = [&](auto change, const std::string& part) {
    TokenizerData data = good;
    change(data);
    EXPECT_NE(refusal(data).find(part), std::string::npos) << refusal(data);
  };
  expect_refusal([](auto& d) { d.types.pop_back(); }, "275 token types");
  expect_refusal([](auto& d) { d.tokens.clear(); }, "empty");
  expect_refusal([](auto& d) { d.eos_id = 276; }, "276");
  expect_refusal([](auto& d) { d.bos_id = -2; }, "-2");
  expect_refusal([](auto& d) { d.extra_eog_ids = {0, 999}; }, "999");
  expect_refusal([](auto& d) { d.merges[3] = "hello"; }, "merge 3 'hello'");
  expect_refusal([](auto& d) { d.merges[0] = ""; }, "merge 0 ''");
  expect_refusal([](auto& d) { d.merges[0] = "h "; }, "merge 0 'h '");
  expect_refusal([](auto& d) { d.merges.push_back("h h"); }, "'h h'");
  expect_refusal([](auto& d) { d.merges.push_back("nope e"); }, "'nope e'");
}

// ---- goldens of llama.cpp over cut-down vocabularies of real models

class FamilyGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(FamilyGolden, IdsAreThoseOfLlamaCpp) {
  const auto golden = testing::golden_file("tok_" + std::string(GetParam()) + ".json");
  TokenizerData data;
  data.model = "gpt2";
  data.pre = golden.at("pre");
  data.tokens = golden.at("tokens").get<Names>();
  data.merges = golden.at("merges").get<Names>();
  for (const int type : golden.at("types")) data.types.push_back(static_cast<TokenType>(type - 1));
  const auto tokenizer = make_tokenizer(data).value();
  for (const auto& entry : golden.at("cases")) {
    const std::string text = entry.at("text");
    const Ids ids = entry.at("ids");
    EXPECT_EQ(tokenizer->encode(text, true, false), ids) << entry.at("text");
    EXPECT_EQ(tokenizer->encode(text, false, false), entry.value("ids_plain", ids))
        << entry.at("text");
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGolden, ::testing::Values("gpt-2", "qwen2", "llama-bpe"),
                         [](const auto& info) {
                           std::string name = info.param;
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

}  // namespace
}  // namespace lockstep
