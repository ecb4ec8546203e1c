// Any bytes as one file of a folder of Hugging Face, whose others are good, are refused with a
// LoadError, or give what the rest of the program may use. The first byte picks the file.
#include "common/check.h"
#include "common/load_error.h"
#include "node/model/files/huggingface/hf_config.h"
#include "node/model/files/huggingface/hf_sampling.h"
#include "node/model/files/huggingface/hf_tokenizer.h"
#include "node/model/files/huggingface/json_keys.h"
#include "node/model/files/huggingface/safetensors.h"
#include "tests/fuzz/target.h"
#include "tests/unit/model/huggingface_files.h"

namespace lockstep::testing {
namespace {

constexpr int64_t kVocabSize = 9;  // one row more than the tokens

constexpr const char* kHeader =
    R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}} )";

void open_weights(std::string_view bytes) {
  const auto span = std::as_bytes(std::span(bytes));
  for (const Tensor& tensor : hf::read_safetensors(span)) {
    const auto n_bytes = static_cast<uint64_t>(tensor.bytes());
    CHECK(tensor.file_offset <= span.size() && n_bytes <= span.size() - tensor.file_offset);
    CHECK(tensor.data == span.data() + tensor.file_offset);
    CHECK(tensor.n_rows > 0 && tensor.n_cols > 0 && !tensor.name.empty());
  }
}

void open_config(std::string_view text) {
  static const std::string weights = HuggingFaceFiles().weights();
  static const std::vector<Tensor> tensors =
      hf::read_safetensors(std::as_bytes(std::span(weights)));
  const json config = hf::parse_json(text, "config.json");
  const ModelConfig model = hf::read_config(hf::JsonKeys("config.json", config), tensors, "m");
  CHECK(model.n_layers() > 0 && model.shape.vocab_size == 8);
  CHECK(model.n_rot >= 2 && model.n_rot <= model.shape.head_dim);
  CHECK(model.rope_freq_divisors.empty() ||
        model.rope_freq_divisors.size() == static_cast<size_t>(model.n_rot) / 2);
}

void open_tokenizer(hf::TokenizerFiles files) {
  const TokenizerData data = hf::read_tokenizer(files, kVocabSize);
  CHECK_EQ(data.tokens.size(), static_cast<size_t>(kVocabSize));
  CHECK_EQ(data.types.size(), data.tokens.size());
  const auto tokenizer = make_tokenizer(data);
  if (tokenizer) CHECK(tokenizer.value()->encode("abcd", true, true).size() <= 5);
}

void open_one(char which, std::string_view text) {
  const HuggingFaceFiles good;
  hf::TokenizerFiles files{good.tokenizer, good.tokenizer_config, {}, good.config, {}};
  switch (which) {
    case 'w':
      return open_weights(text);
    case 'c':
      return open_config(text);
    case 't':
      files.tokenizer = hf::parse_json(text, "tokenizer.json");
      return open_tokenizer(std::move(files));
    case 'n':
      files.tokenizer_config = hf::parse_json(text, "tokenizer_config.json");
      return open_tokenizer(std::move(files));
    default:
      files.generation_config = hf::parse_json(text, "generation_config.json");
      hf::read_sampling_defaults(hf::JsonKeys("generation_config.json", *files.generation_config));
      return open_tokenizer(std::move(files));
  }
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  HuggingFaceFiles files;
  std::vector<std::string> seeds = {
      "w" + safetensors_bytes(kHeader, 32), "c" + files.config.dump(), "t" + files.tokenizer.dump(),
      "n" + files.tokenizer_config.dump(),
      R"(g{"eos_token_id":[1,2],"temperature":0.5,"do_sample":true})"};
  files.config["model_type"] = "smollm3";
  files.config["no_rope_layers"] = {1};
  files.config["rope_parameters"] = {
      {"rope_type", "llama3"}, {"rope_theta", 1e4},     {"factor", 8},
      {"low_freq_factor", 1},  {"high_freq_factor", 4}, {"original_max_position_embeddings", 64}};
  seeds.push_back("c" + files.config.dump());
  files.tokenizer["model"]["merges"] = json::parse(R"([["a","b"],["c","d"]])");
  files.tokenizer["post_processor"] = json::parse(
      R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|im_start|>"}},)"
      R"({"Sequence":{"id":"A"}}]})");
  seeds.push_back("t" + files.tokenizer.dump());
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  if (n_bytes == 0) return 0;
  try {
    lockstep::testing::open_one(static_cast<char>(data[0]),
                                lockstep::testing::as_text(data + 1, n_bytes - 1));
  } catch (const lockstep::LoadError&) {
  }
  return 0;
}
