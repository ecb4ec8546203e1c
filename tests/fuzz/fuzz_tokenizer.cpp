// Any bytes become ids of the vocabulary that decode to the same bytes, whole and token by token,
// with each pre-tokenizer (the first byte picks it).
#include <memory>

#include "common/check.h"
#include "common/text/utf8.h"
#include "node/text/stream/stream_decoder.h"
#include "tests/fuzz/target.h"
#include "tests/unit/text/small_vocabulary.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const char pre : {'0', '1', '2', '3'}) {
    seeds.push_back(pre +
                    std::string("hello world  12345 aaaa'LL\r\n\tdon't <|end|>><tool> [unused]"));
    seeds.push_back(
        pre + std::string("Héllo 中文🙂\u00a0\u0301ß ?!...\n\n \xF0\x9F\x99<unk><|begin|>"));
  }
  return seeds;
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

const Tokenizer& tokenizer(uint8_t choice) {
  static const std::unique_ptr<Tokenizer> all[] = {
      testing::SmallVocabulary("gpt-2").make(), testing::SmallVocabulary("smollm").make(),
      testing::SmallVocabulary("qwen2").make(), testing::SmallVocabulary("llama-bpe").make()};
  return *all[choice % std::size(all)];
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
  const Tokenizer& chosen = tokenizer(data[0]);
  const std::string_view text = testing::as_text(data + 1, n_bytes - 1);
  for (const bool parse_special : {false, true}) {
    const std::vector<int32_t> ids = chosen.encode(text, parse_special, false);
    CHECK(ids.size() <= text.size());
    for (const int32_t id : ids) CHECK(id >= 0 && id < chosen.vocab_size());
    CHECK(chosen.decode(ids, true) == text);
    const std::string streamed = decode_one_by_one(chosen, ids);
    CHECK(utf8::is_valid(streamed));
    if (utf8::is_valid(text)) CHECK(streamed == text);
  }
  return 0;
}
