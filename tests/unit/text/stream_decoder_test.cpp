#include "node/text/stream/stream_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/text/utf8.h"
#include "tests/unit/text/random_text.h"
#include "tests/unit/text/small_vocabulary.h"

namespace lockstep {
namespace {

using Pieces = std::vector<std::string>;

// A tokenizer whose token i is piece i; the tests use nothing else of it.
class PieceTokenizer final : public Tokenizer {
 public:
  explicit PieceTokenizer(Pieces pieces) : pieces_(std::move(pieces)) {}
  std::vector<int32_t> encode(std::string_view, bool, bool) const override { return {}; }
  std::vector<int32_t> encode_chat(const MarkedText&) const override { return {}; }
  std::string_view token_bytes(int32_t id, bool) const override {
    return pieces_.at(static_cast<size_t>(id));
  }
  std::string decode(const std::vector<int32_t>&, bool) const override { return {}; }
  int32_t vocab_size() const override { return static_cast<int32_t>(pieces_.size()); }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return -1; }
  const std::vector<int32_t>& end_ids() const override { return end_ids_; }
  const std::string& chat_template() const override { return template_; }

 private:
  Pieces pieces_;
  std::vector<int32_t> end_ids_;
  std::string template_;
};

struct Streamed {
  std::string text;
  int stop = -1;
  Pieces chunks;  // the output of each push(), then that of finish()
  bool operator==(const Streamed& other) const { return text == other.text && stop == other.stop; }
};

void PrintTo(const Streamed& s, std::ostream* out) {
  *out << "stop " << s.stop << " after " << ::testing::PrintToString(s.text);
}

Streamed stream(const Pieces& tokens, const StopSpec& stops = {}) {
  const PieceTokenizer tokenizer(tokens);
  StreamDecoder decoder;
  decoder.start(tokenizer, stops);
  Streamed result;
  for (int32_t id = 0; id < tokenizer.vocab_size() && result.stop < 0; ++id) {
    std::string chunk;
    result.stop = decoder.push(id, chunk);
    result.chunks.push_back(chunk);
  }
  if (result.stop < 0) decoder.finish(result.chunks.emplace_back());
  for (const std::string& chunk : result.chunks) result.text += chunk;
  return result;
}

Pieces cut_randomly(const std::string& text, testing::SeededRandom& random) {
  Pieces pieces;
  for (size_t at = 0; at < text.size();) {
    const auto n = static_cast<size_t>(random.integer(0, 4));
    pieces.push_back(text.substr(at, n));
    at += n;
  }
  return pieces;
}

TEST(StreamDecoder, TextThatIsCertainComesAtOnce) {
  EXPECT_EQ(stream({"Hello", " ", "world"}).chunks, (Pieces{"Hello", " ", "world", ""}));
}

TEST(StreamDecoder, ACharacterWaitsForItsLastByte) {
  EXPECT_EQ(stream({"a\xE4", "\xBD", "\xA0z"}).chunks, (Pieces{"a", "", "你z", ""}));
}

// The expected texts are those of Python's bytes.decode("utf-8", "replace").
TEST(StreamDecoder, WhatIsNotUtf8BecomesReplacementCharacters) {
  EXPECT_EQ(stream({"a\xFF"
                    "b"})
                .text,
            "a\uFFFDb");
  EXPECT_EQ(stream({"\xF0\x9F", "\x98"}).text, "\uFFFD");
  EXPECT_EQ(stream({"\xE2\x82", "a"}).text, "\uFFFDa");
  EXPECT_EQ(stream({"\xC0\xAF"}).text, "\uFFFD\uFFFD");
  EXPECT_EQ(stream({"\xED\xA0\x80"}).text, "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(stream({"\xE4\xBD", "\xE4\xBD\xA0"}).text, "\uFFFD你");
}

TEST(StreamDecoder, HoldsBackWhatMayBecomeAStop) {
  const StopSpec stops{{"STOP"}, false, true};
  const Streamed result = stream({"a S", "T", "x ST", "OP y"}, stops);
  EXPECT_EQ(result.chunks, (Pieces{"a ", "", "STx ", ""}));
  EXPECT_EQ(result.stop, 0);
}

TEST(StreamDecoder, WhatWasHeldBackComesAtTheEnd) {
  EXPECT_EQ(stream({"a", "ST"}, {{"STOP"}, false, true}).chunks, (Pieces{"a", "", "ST"}));
}

TEST(StreamDecoder, TheStopIsPartOfTheTextOnlyIfAskedFor) {
  EXPECT_EQ(stream({"abcd"}, {{"bc"}, false, true}).text, "a");
  EXPECT_EQ(stream({"abcd"}, {{"bc"}, true, true}).text, "abc");
}

TEST(StreamDecoder, TheStopThatEndsFirstCounts) {
  const Streamed first = stream({"xabcdy"}, {{"abcd", "bc"}, false, true});
  EXPECT_EQ(first.stop, 1);
  EXPECT_EQ(first.text, "xa");
  const Streamed longest = stream({"xabcdy"}, {{"c", "abc", "bc"}, false, true});
  EXPECT_EQ(longest.stop, 1) << "of those that end together the longest";
  EXPECT_EQ(longest.text, "x");
}

TEST(StreamDecoder, ARepetitiveStopIsFoundAcrossItself) {
  EXPECT_EQ(stream({"aa", "ab"}, {{"aab"}, false, true}), (Streamed{"a", 0, {}}));
  EXPECT_EQ(stream({"abab", "abac"}, {{"ababac"}, false, true}), (Streamed{"ab", 0, {}}));
}

TEST(StreamDecoder, SpecialTokensShowOnlyIfAskedFor) {
  const testing::SmallVocabulary vocabulary;
  const auto tokenizer = vocabulary.make();
  for (const bool skip : {true, false}) {
    const StopSpec stops{{}, false, skip};
    StreamDecoder decoder;
    decoder.start(*tokenizer, stops);
    std::string text;
    decoder.push(vocabulary.id("he"), text);
    decoder.push(vocabulary.id("<|end|>"), text);
    decoder.finish(text);
    EXPECT_EQ(text, skip ? "he" : "he<|end|>");
  }
}

// By definition: the earliest end of any stop string, and there the longest one.
Streamed stream_slowly(const std::string& text, const StopSpec& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    int best = -1;
    for (size_t i = 0; i < stops.strings.size(); ++i) {
      const std::string& stop = stops.strings[i];
      const bool ends =
          end >= stop.size() && text.compare(end - stop.size(), stop.size(), stop) == 0;
      const bool longer = best < 0 || stop.size() > stops.strings[static_cast<size_t>(best)].size();
      if (ends && longer) best = static_cast<int>(i);
    }
    if (best < 0) continue;
    const size_t n_stop = stops.strings[static_cast<size_t>(best)].size();
    return {text.substr(0, stops.include_in_output ? end : end - n_stop), best, {}};
  }
  return {text, -1, {}};
}

TEST(StreamDecoder, EveryWayOfCuttingTheTextIntoTokensGivesTheSameEnd) {
  testing::SeededRandom random(77);
  const Pieces letters = {"a", "b", "é", "ê", "中"};
  const auto word = [&](int64_t max) {
    std::string text;
    for (int64_t n = random.integer(1, max); n > 0; --n) {
      text += letters[static_cast<size_t>(random.integer(0, std::ssize(letters) - 1))];
    }
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    StopSpec stops;
    for (int64_t n = random.integer(0, 3); n > 0; --n) stops.strings.push_back(word(4));
    stops.include_in_output = random.chance(0.5);
    const std::string text = word(20);
    const Streamed expected = stream_slowly(text, stops);
    for (int i = 0; i < 4; ++i)
      ASSERT_EQ(stream(cut_randomly(text, random), stops), expected) << text;
  }
}

TEST(StreamDecoder, NoChunkSplitsACharacterWhateverTheBytes) {
  testing::SeededRandom random(78);
  for (int round = 0; round < 2000; ++round) {
    const std::string text =
        random.chance(0.5) ? testing::random_bytes(random, 30) : testing::random_text(random, 12);
    StopSpec stops;
    if (random.chance(0.5)) stops.strings = {"Hello w", "\uFFFD\uFFFD", "中文x"};
    const Streamed whole = stream({text}, stops);
    const Streamed cut = stream(cut_randomly(text, random), stops);
    ASSERT_EQ(cut, whole);
    for (const std::string& chunk : cut.chunks) ASSERT_TRUE(utf8::is_valid(chunk));
    if (whole.stop < 0 && utf8::is_valid(text)) {
      ASSERT_EQ(whole.text, text);
    }
  }
}

TEST(StreamDecoder, IsAsGoodAsNewAfterStart) {
  const PieceTokenizer tokenizer({"a\xE4", "ST"});
  const StopSpec stops{{"STOP"}, false, true};
  StreamDecoder decoder;
  std::string text;
  for (int i = 0; i < 2; ++i) {
    decoder.start(tokenizer, stops);
    decoder.push(i, text);
  }
  decoder.finish(text);
  EXPECT_EQ(text, "aST");
}

TEST(StreamDecoder, AStopIsTextUntilItIsWatchedFor) {
  const PieceTokenizer tokenizer({"STOP", "ST", "OP", "STOP"});
  const StopSpec stops{{"STOP"}, false, true};
  StreamDecoder decoder;
  decoder.start(tokenizer, stops, {.watches_for_stops = false});
  std::string text;
  EXPECT_EQ(decoder.push(0, text), -1);
  EXPECT_EQ(decoder.push(1, text), -1);
  EXPECT_EQ(text, "STOPST") << "nothing may begin a stop, so nothing is held back";
  decoder.watch_for_stops();
  EXPECT_EQ(decoder.push(2, text), -1) << "half of it came before";
  EXPECT_EQ(decoder.push(3, text), 0);
  EXPECT_EQ(text, "STOPSTOP");
}

TEST(StreamDecoder, HoldsNothingBetweenCharactersOutsideAStop) {
  const PieceTokenizer tokenizer({"a\xE4", "\xBD\xA0", "ST", "!"});
  const StopSpec stops{{"STOP"}, false, true};
  StreamDecoder decoder;
  decoder.start(tokenizer, stops);
  std::string text;
  for (const int32_t id : {0, 1, 2, 3}) {
    decoder.push(id, text);
    EXPECT_EQ(decoder.holds_nothing(), id % 2 == 1) << "token " << id;
  }
}

TEST(StreamDecoder, LongRepetitiveStopsAreNotSlow) {
  const std::string almost(20'000, 'a');
  const StopSpec stops{Pieces(16, almost + "b"), false, true};
  const Streamed result = stream(Pieces(30'000, "a"), stops);
  EXPECT_EQ(result.stop, -1);
  EXPECT_EQ(result.text.size(), 30'000u);
}

}  // namespace
}  // namespace lockstep
