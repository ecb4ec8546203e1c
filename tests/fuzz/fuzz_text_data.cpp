// Any bytes are the data of a text model, which writes the same bytes again, or an error; a model
// that can be built from them encodes.
#include "common/check.h"
#include "node/text/prompt/text_data.h"
#include "tests/fuzz/target.h"
#include "tests/unit/text/small_spm_vocabulary.h"
#include "tests/unit/text/small_vocabulary.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const char* pre : {"gpt-2", "llama-bpe"}) {
    TextData data{SmallVocabulary(pre).data, true};
    data.tokenizer.chat_template = "{{ messages }}";
    data.tokenizer.extra_eog_ids = {3, 4};
    seeds.push_back(write_text_data(data));
  }
  TextData spm{SmallSpmVocabulary().data, false};
  spm.tokenizer.rstrip_ids = {1};
  seeds.push_back(write_text_data(spm));
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  const std::string_view bytes = testing::as_text(data, n_bytes);
  Result<TextData> read = read_text_data(bytes);
  if (!read) return 0;
  CHECK(write_text_data(*read) == bytes);
  // SentencePiece puts a space in front of each of the texts between tokens that are found first.
  const size_t most = read->tokenizer.model == "llama" ? 2 * 17 + 1 : 17 + 1;
  const auto tokenizer = make_tokenizer(std::move(read->tokenizer));
  if (tokenizer) CHECK((*tokenizer)->encode("hello world 12345", true, true).size() <= most);
  return 0;
}
