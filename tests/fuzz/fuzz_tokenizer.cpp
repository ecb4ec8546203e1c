// Any bytes become ids of the vocabulary that decode to the same bytes, whole and token by token,
// with each pre-tokenizer and each kind of tokenizer (the first byte picks it).
#include <memory>

#include "common/check.h"
#include "common/text/utf8.h"
#include "node/text/stream/stream_decoder.h"
#include "tests/fuzz/target.h"
#include "tests/unit/text/small_spm_vocabulary.h"
#include "tests/unit/text/small_vocabulary.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const char choice : {'0', '1', '2', '3', '4', '5', '6', '7', '8'}) {
    seeds.push_back(choice +
                    std::string("hello world  12345 aaaa'LL\r\n\tdon't <|end|>><tool> [unused]"));
    seeds.push_back(
        choice +
        std::string("Héllo 中文🙂\u00a0\u0301ß ?!...\n\n \xF0\x9F\x99<unk><|begin|>"));
    seeds.push_back(choice + std::string("   hello<|user|> \n hellé! wor▁ld</s><0x41>\xE2\x96"));
  }
  return seeds;
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

struct Choice {
  std::unique_ptr<Tokenizer> tokenizer;
  bool is_spm;
};

Choice byte_level(const char* pre) { return {testing::SmallVocabulary(pre).make(), false}; }

Choice spm(bool prefix, bool with_unused) {
  testing::SmallSpmVocabulary vocabulary;
  vocabulary.data.add_space_prefix = prefix;
  for (const char* token : {"hell", "aa"}) {
    if (with_unused)
      vocabulary.data.types[static_cast<size_t>(vocabulary.id(token))] = TokenType::kUnused;
  }
  return {vocabulary.make(), true};
}

const Choice& choice(uint8_t number) {
  static const Choice all[] = {byte_level("gpt-2"),     byte_level("smollm"), byte_level("qwen2"),
                               byte_level("llama-bpe"), byte_level("gpt-4o"), byte_level("default"),
                               spm(true, false),        spm(false, false),    spm(true, true)};
  return all[number % std::size(all)];
}

std::string decode_one_by_one(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  const StopSpec stops{.strings = {}, .include_in_output = false, .skip_special_tokens = false};
  StreamDecoder decoder;
  decoder.start(tokenizer, stops);
  std::string text;
  for (const int32_t id : ids) {
    decoder.push(id, text);
    CHECK(utf8::is_valid(text));
  }
  decoder.finish(text);
  return text;
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  if (n_bytes == 0) return 0;
  const Choice& chosen = choice(data[0]);
  const Tokenizer& tokenizer = *chosen.tokenizer;
  const std::string text(testing::as_text(data + 1, n_bytes - 1));
  const std::string expected = chosen.is_spm ? testing::comes_back_as(text) : text;
  for (const bool parse_special : {false, true}) {
    const std::vector<int32_t> ids = tokenizer.encode(text, parse_special, false);
    // SentencePiece puts a space in front of each text between special tokens.
    CHECK(ids.size() <= (chosen.is_spm ? 2 : 1) * text.size());
    if (parse_special) CHECK(tokenizer.least_tokens(text) <= static_cast<int64_t>(ids.size()));
    for (const int32_t id : ids) CHECK(id >= 0 && id < tokenizer.vocab_size());
    CHECK(tokenizer.decode(ids, true) == expected);
    const std::string streamed = decode_one_by_one(tokenizer, ids);
    CHECK(utf8::is_valid(streamed));
    if (utf8::is_valid(text)) CHECK(streamed == expected);
  }
  return 0;
}
