// How a choice ends, and which text its client receives: EOS ids, stop ids, stop strings, minimum
// and maximum length. The null model outputs a script.
#include "node/engine/sequence/choice_output.h"

#include <gtest/gtest.h>

#include "tests/unit/engine/harness.h"
#include "tests/unit/engine/words.h"
#include "tests/unit/text/small_spm_vocabulary.h"

namespace lockstep::testing {
namespace {

class ChoiceOutputTest : public ::testing::TestWithParam<int> {
 protected:
  // The stream of a request whose model outputs `script`, then 'z' for ever.
  Transcript say(std::vector<int32_t> script, const SamplingParams& sampling) {
    const EngineConfig config = small_config(GetParam());
    NullExecutor::Options options = executor_options(config);
    options.script = std::move(script);
    options.fixed_token = 'z';
    CoreHarness h(config, options);
    GenerationRequest request = request_of(1, {1, 2}, 0);
    request.sampling = sampling;
    EXPECT_TRUE(h.accept(request));
    h.run();
    EXPECT_EQ(h.ending(1).reason, h.choice(1).finished);
    EXPECT_EQ(h.ending(1).usage.completion_tokens, h.choice(1).ids.size());
    return h.choice(1);
  }
  static SamplingParams up_to(int32_t max_tokens) {
    SamplingParams sampling;
    sampling.max_tokens = max_tokens;
    return sampling;
  }
};

INSTANTIATE_TEST_SUITE_P(StepsInFlight, ChoiceOutputTest, ::testing::Values(1, 2));

TEST_P(ChoiceOutputTest, AnEndIdStopsCountsAndHasNoText) {
  const Transcript t = say({kHe, kLlo, kEnd}, up_to(10));
  EXPECT_EQ(t.text, "hello");
  EXPECT_EQ(t.ids, (std::vector<int32_t>{kHe, kLlo, kEnd}));
  EXPECT_EQ(t.finished, FinishReason::kStop);
  EXPECT_EQ(t.stop_token, kEnd);
  EXPECT_EQ(t.stop_string, "");
}

TEST_P(ChoiceOutputTest, AnEndIdIsOneOfManyWithIgnoreEos) {
  SamplingParams sampling = up_to(4);
  sampling.ignore_eos = true;
  const Transcript t = say({kHe, kEnd, kLlo}, sampling);
  EXPECT_EQ(t.text, "helloz");
  EXPECT_EQ(t.finished, FinishReason::kLength);
  EXPECT_EQ(t.stop_token, -1);
}

TEST_P(ChoiceOutputTest, AStopTokenIdStopsAndHasNoText) {
  SamplingParams sampling = up_to(10);
  sampling.stop_token_ids = {kLlo};
  sampling.ignore_eos = true;  // stop ids still end the choice
  const Transcript t = say({kHe, kEnd, kLlo}, sampling);
  EXPECT_EQ(t.text, "he");
  EXPECT_EQ(t.ids.size(), 3u);
  EXPECT_EQ(t.finished, FinishReason::kStop);
  EXPECT_EQ(t.stop_token, kLlo);
}

TEST_P(ChoiceOutputTest, MaxTokensEndsWithLength) {
  const Transcript t = say({kHe, kLlo}, up_to(2));
  EXPECT_EQ(t.text, "hello");
  EXPECT_EQ(t.finished, FinishReason::kLength);
}

TEST_P(ChoiceOutputTest, AnEndIdAsTheLastAllowedTokenIsAStop) {
  EXPECT_EQ(say({kHe, kEnd}, up_to(2)).finished, FinishReason::kStop);
}

TEST_P(ChoiceOutputTest, AStopStringAcrossTokensIsCutOff) {
  SamplingParams sampling = up_to(10);
  sampling.stop.strings = {"never", "stop"};
  const Transcript t = say({kHe, kSt, kOp, kLlo}, sampling);
  EXPECT_EQ(t.text, "he");
  EXPECT_EQ(t.ids.size(), 3u);
  EXPECT_EQ(t.finished, FinishReason::kStop);
  EXPECT_EQ(t.stop_string, "stop");
  EXPECT_EQ(t.stop_token, -1);
}

TEST_P(ChoiceOutputTest, AStopStringIsKeptIfAskedFor) {
  SamplingParams sampling = up_to(10);
  sampling.stop.strings = {"stop"};
  sampling.stop.include_in_output = true;
  EXPECT_EQ(say({kHe, kSt, kOp, kLlo}, sampling).text, "hestop");
}

TEST_P(ChoiceOutputTest, AStopStringInsideOneTokenCutsTheRestOfTheToken) {
  SamplingParams sampling = up_to(10);
  sampling.stop.strings = {"to"};
  EXPECT_EQ(say({kHe, kStopWord}, sampling).text, "hes");
}

TEST_P(ChoiceOutputTest, TextHeldBackForAStopThatDoesNotComeIsDelivered) {
  SamplingParams sampling = up_to(2);
  sampling.stop.strings = {"stop"};
  EXPECT_EQ(say({kHe, kSt}, sampling).text, "hest");  // length
  EXPECT_EQ(say({kSt, kEnd}, up_to(2)).text, "st");   // end id
  EXPECT_EQ(say({kSt, kHe}, sampling).text, "sthe");  // another text
}

TEST_P(ChoiceOutputTest, AnUnfinishedCharacterBecomesAReplacementAtTheEnd) {
  EXPECT_EQ(say({kHe, kNiFirst}, up_to(2)).text, "he\xEF\xBF\xBD");
  EXPECT_EQ(say({kNiFirst, kNiLast}, up_to(2)).text, "\xE4\xBD\xA0");
}

TEST_P(ChoiceOutputTest, NothingThatEndsAChoiceIsSampledBeforeMinTokens) {
  SamplingParams sampling = up_to(10);
  sampling.min_tokens = 3;
  sampling.stop_token_ids = {kLlo};
  const Transcript t = say({kEnd, kLlo, kHe, kEnd}, sampling);
  ASSERT_EQ(t.ids.size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(t.ids[i] != kEnd && t.ids[i] != kLlo);
  EXPECT_EQ(t.finished, FinishReason::kStop);
}

TEST_P(ChoiceOutputTest, StopStringsCountOnlyAfterMinTokens) {
  SamplingParams sampling = up_to(10);
  sampling.min_tokens = 2;
  sampling.stop.strings = {"stop"};
  const Transcript t = say({kStopWord, kHe, kLlo, kStopWord}, sampling);
  EXPECT_EQ(t.text, "stophello");
  EXPECT_EQ(t.ids.size(), 4u);
  EXPECT_EQ(t.stop_string, "stop");
}

TEST_P(ChoiceOutputTest, ACharacterCutByMinTokensStaysWhole) {
  SamplingParams sampling = up_to(3);
  sampling.min_tokens = 1;
  sampling.stop.strings = {"never"};
  EXPECT_EQ(say({kNiFirst, kNiLast, kHe}, sampling).text, "\xE4\xBD\xA0he");
}

TEST(ChoiceText, ThePromptsLastTokenDecidesAboutTheSpaceInFront) {
  const SmallSpmVocabulary vocabulary;
  const auto tokenizer = vocabulary.make();
  for (const auto& [last, expected] : {std::pair("<|user|>", "hello"), {"x", " hello"}}) {
    GenerationRequest request = request_of(1, {vocabulary.id(last)}, 8);
    StreamDecoder decoder;
    start_text(decoder, request, *tokenizer);
    std::string text;
    decode_output(decoder, vocabulary.id("▁hello"), 1, request.sampling, *tokenizer, text);
    EXPECT_EQ(text, expected);
  }
}

}  // namespace
}  // namespace lockstep::testing
