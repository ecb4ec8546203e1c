// tokenizer.json and the files beside it: what is read, and that what this version does not
// implement is refused by name.
#include "node/model/files/huggingface/hf_tokenizer.h"

#include <gtest/gtest.h>

#include "common/load_error.h"
#include "node/model/files/huggingface/hf_sampling.h"
#include "node/model/files/huggingface/json_keys.h"
#include "tests/unit/model/huggingface_files.h"

namespace lockstep::testing {
namespace {

constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

// As it stands in the file of Phi-4-mini.
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

TokenizerData tokenizer_of(const HuggingFaceFiles& files, int64_t vocab_size = 8,
                           const std::optional<std::string>& chat_template = {}) {
  return hf::read_tokenizer({files.tokenizer, files.tokenizer_config, chat_template, files.config,
                             files.generation_config},
                            vocab_size);
}

std::string refusal(const HuggingFaceFiles& files, int64_t vocab_size = 8) {
  try {
    tokenizer_of(files, vocab_size);
    return "";
  } catch (const LoadError& error) {
    return error.what();
  }
}

TEST(HuggingFaceTokenizer, ReadsAByteLevelBpe) {
  const TokenizerData data = tokenizer_of(HuggingFaceFiles());
  EXPECT_EQ(data.model, "gpt2");
  EXPECT_EQ(data.pre, "gpt-2");
  EXPECT_EQ(data.tokens, (std::vector<std::string>{"<|im_start|>", "<|im_end|>", "a", "b", "c", "d",
                                                   "ab", "cd"}));
  EXPECT_EQ(data.merges, (std::vector<std::string>{"a b", "c d"}));
  EXPECT_EQ(data.types.front(), TokenType::kControl);
  EXPECT_EQ(data.types.back(), TokenType::kNormal);
  EXPECT_EQ(data.bos_id, 0);
  EXPECT_EQ(data.eos_id, 1);
  EXPECT_EQ(data.unk_id, -1);
  EXPECT_FALSE(data.add_bos);
  EXPECT_TRUE(make_tokenizer(data).has_value());
}

TEST(HuggingFaceTokenizer, MergesMayBePairs) {
  HuggingFaceFiles files;
  files.tokenizer["model"]["merges"] = json::parse(R"([["a", "b"], ["c", "d"]])");
  EXPECT_EQ(tokenizer_of(files).merges, tokenizer_of(HuggingFaceFiles()).merges);
}

TEST(HuggingFaceTokenizer, RowsWithoutATokenAreUnused) {
  const TokenizerData data = tokenizer_of(HuggingFaceFiles(), 10);
  ASSERT_EQ(data.tokens.size(), 10u);
  EXPECT_EQ(data.tokens[8], "[PAD8]");
  EXPECT_EQ(data.tokens[9], "[PAD9]");
  EXPECT_EQ(data.types[9], TokenType::kUnused);
}

TEST(HuggingFaceTokenizer, PreTokenizersHaveTheNamesOfGguf) {
  const auto split = [](const char* regex) {
    return json{{"type", "Sequence"},
                {"pretokenizers",
                 {{{"type", "Split"},
                   {"pattern", {{"Regex", regex}}},
                   {"behavior", "Isolated"},
                   {"invert", false}},
                  {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  };
  HuggingFaceFiles files;
  files.tokenizer["pre_tokenizer"] = split(kQwen2);
  files.tokenizer["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(tokenizer_of(files).pre, "qwen2");
  files.tokenizer["pre_tokenizer"] = split(kGpt4o);
  EXPECT_EQ(tokenizer_of(files).pre, "gpt-4o");
  files.tokenizer["pre_tokenizer"] = split(kLlama3);
  EXPECT_NE(refusal(files).find("'ignore_merges' is false"), std::string::npos);
  files.tokenizer["model"]["ignore_merges"] = true;
  EXPECT_EQ(tokenizer_of(files).pre, "llama-bpe");
  files.tokenizer["pre_tokenizer"] = split(R"(\s+)");
  EXPECT_NE(refusal(files).find(R"(the pre-tokenizer '\s+', 'ByteLevel' is not supported)"),
            std::string::npos);
  files = HuggingFaceFiles();
  files.tokenizer["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Digits"}, {"individual_digits", true}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}};
  EXPECT_EQ(tokenizer_of(files).pre, "smollm");
}

TEST(HuggingFaceTokenizer, ThePostProcessorMayAddBos) {
  HuggingFaceFiles files;
  const json bos = {{"SpecialToken", {{"id", "<|im_start|>"}, {"type_id", 0}}}};
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  files.tokenizer["post_processor"] = {{"type", "TemplateProcessing"},
                                       {"single", json::array({bos, text})}};
  EXPECT_TRUE(tokenizer_of(files).add_bos);
  files.tokenizer_config["add_bos_token"] = false;
  EXPECT_FALSE(tokenizer_of(files).add_bos);
  files.tokenizer["post_processor"]["single"] = json::array({text, bos});
  EXPECT_NE(refusal(files).find("'single' adds '<|im_start|>'"), std::string::npos);
  files.tokenizer["post_processor"] = {{"type", "Sequence"},
                                       {"processors", json::array({{{"type", "ByteLevel"}}})}};
  EXPECT_EQ(refusal(files), "");
}

TEST(HuggingFaceTokenizer, GenerationConfigSaysWhereAnswersEnd) {
  HuggingFaceFiles files;
  files.config["eos_token_id"] = 4;
  EXPECT_EQ(tokenizer_of(files).extra_eog_ids, std::vector<int32_t>{4});
  files.generation_config = json{{"eos_token_id", {1, 5, 2}}};
  EXPECT_EQ(tokenizer_of(files).extra_eog_ids, (std::vector<int32_t>{5, 2}));
  files.generation_config = json{{"eos_token_id", 3}};
  EXPECT_EQ(tokenizer_of(files).extra_eog_ids, std::vector<int32_t>{3});
  files.tokenizer_config.erase("eos_token");
  EXPECT_EQ(tokenizer_of(files).eos_id, 4) << "config.json's, then the others";
  files.generation_config = json{{"eos_token_id", 8}};
  EXPECT_NE(refusal(files).find("generation_config.json: key 'eos_token_id' has '8'"),
            std::string::npos);
}

TEST(HuggingFaceTokenizer, TheChatTemplateIsInOneOfTwoFiles) {
  HuggingFaceFiles files;
  EXPECT_EQ(tokenizer_of(files).chat_template, "");
  files.tokenizer_config["chat_template"] = "one";
  EXPECT_EQ(tokenizer_of(files).chat_template, "one");
  EXPECT_EQ(tokenizer_of(files, 8, "two").chat_template, "two");
  files.tokenizer_config["chat_template"] = json::parse(
      R"([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}])");
  EXPECT_EQ(tokenizer_of(files).chat_template, "d");
}

const std::vector<HuggingFaceFault>& faults() {
  static const std::vector<HuggingFaceFault> all = {
      {"unigram",
       [](auto& f) { f.tokenizer["model"]["type"] = "Unigram"; },
       {"'Unigram'", "SentencePiece"}},
      {"byteFallback",
       [](auto& f) { f.tokenizer["model"]["byte_fallback"] = true; },
       {"'byte_fallback' is true", "SentencePiece"}},
      {"metaspace",
       [](auto& f) {
         f.tokenizer["pre_tokenizer"] = {{"type", "Metaspace"}};
       },
       {"'Metaspace'", "SentencePiece"}},
      {"prepend",
       [](auto& f) {
         f.tokenizer["normalizer"] = {{"type", "Prepend"}, {"prepend", "_"}};
       },
       {"'Prepend'", "SentencePiece"}},
      {"lowercase",
       [](auto& f) {
         f.tokenizer["normalizer"] = {{"type", "Lowercase"}};
       },
       {"tokenizer.json: normalizer", "'Lowercase'"}},
      {"whitespace",
       [](auto& f) {
         f.tokenizer["pre_tokenizer"] = {{"type", "Whitespace"}};
       },
       {"'Whitespace'"}},
      {"noPreTokenizer",
       [](auto& f) { f.tokenizer["pre_tokenizer"] = nullptr; },
       {"'pre_tokenizer'"}},
      {"prefixSpace",
       [](auto& f) { f.tokenizer["pre_tokenizer"]["add_prefix_space"] = true; },
       {"'add_prefix_space' is true"}},
      {"decoder",
       [](auto& f) {
         f.tokenizer["decoder"] = {{"type", "WordPiece"}};
       },
       {"'WordPiece'"}},
      {"dropout", [](auto& f) { f.tokenizer["model"]["dropout"] = 0.1; }, {"'dropout'"}},
      {"suffix",
       [](auto& f) { f.tokenizer["model"]["end_of_word_suffix"] = "</w>"; },
       {"'end_of_word_suffix' is '</w>'"}},
      {"unknownKey",
       [](auto& f) { f.tokenizer["model"]["x"] = 1; },
       {"tokenizer.json: model: key 'x'"}},
      {"unknownTopKey", [](auto& f) { f.tokenizer["x"] = 1; }, {"tokenizer.json: key 'x'"}},
      {"noModel", [](auto& f) { f.tokenizer.erase("model"); }, {"'model' is missing"}},
      {"noVocab", [](auto& f) { f.tokenizer["model"].erase("vocab"); }, {"'vocab' is missing"}},
      {"noMerges", [](auto& f) { f.tokenizer["model"].erase("merges"); }, {"'merges' is missing"}},
      {"oddMerge",
       [](auto& f) { f.tokenizer["model"]["merges"][1] = "cd"; },
       {"entry 1", "two tokens"}},
      {"longMerge", [](auto& f) { f.tokenizer["model"]["merges"][0] = "a b c"; }, {"entry 0"}},
      {"mergeIsANumber", [](auto& f) { f.tokenizer["model"]["merges"][0] = 7; }, {"entry 0"}},
      {"idOutside",
       [](auto& f) { f.tokenizer["model"]["vocab"]["e"] = 8; },
       {"token 'e' has the id '8'", "0..7"}},
      {"idNegative", [](auto& f) { f.tokenizer["model"]["vocab"]["e"] = -1; }, {"token 'e'"}},
      {"idIsAString", [](auto& f) { f.tokenizer["model"]["vocab"]["e"] = "9"; }, {"'\"9\"'"}},
      {"idTwice", [](auto& f) { f.tokenizer["model"]["vocab"]["e"] = 2; }, {"the id 2 is both"}},
      {"addedElsewhere",
       [](auto& f) { f.tokenizer["added_tokens"][0]["id"] = 2; },
       {"the id 2 is both 'a' and '<|im_start|>'"}},
      {"strips",
       [](auto& f) { f.tokenizer["added_tokens"][0]["rstrip"] = true; },
       {"rstrip of '<|im_start|>' is true"}},
      {"addedWithoutId",
       [](auto& f) { f.tokenizer["added_tokens"][0].erase("id"); },
       {"no content or no id"}},
      {"bosUnknown",
       [](auto& f) { f.tokenizer_config["bos_token"] = "<s>"; },
       {"tokenizer_config.json: key 'bos_token' is '<s>'"}},
      {"addEos",
       [](auto& f) { f.tokenizer_config["add_eos_token"] = true; },
       {"'add_eos_token' is true"}},
      {"postProcessor",
       [](auto& f) {
         f.tokenizer["post_processor"] = {{"type", "BertProcessing"}};
       },
       {"'BertProcessing'"}},
      {"eosOutside",
       [](auto& f) { f.config["eos_token_id"] = 8; },
       {"config.json: key 'eos_token_id' has '8'", "0..7"}},
  };
  return all;
}

TEST(HuggingFaceTokenizer, EachFaultIsRefusedByName) {
  for (const HuggingFaceFault& fault : faults()) {
    HuggingFaceFiles files;
    fault.make(files);
    const std::string message = refusal(files);
    for (const std::string& part : fault.said) {
      EXPECT_NE(message.find(part), std::string::npos)
          << fault.name << ": no \"" << part << "\" in: " << message;
    }
    EXPECT_LT(message.size(), 300u);
  }
}

SamplingDefaults sampling_of(const json& generation_config) {
  return hf::read_sampling_defaults(hf::JsonKeys("generation_config.json", generation_config));
}

TEST(HuggingFaceSampling, TheKeysOfARequestAreRead) {
  const SamplingDefaults out = sampling_of({{"temperature", 0.6},
                                            {"top_p", 0.95},
                                            {"min_p", 0.05},
                                            {"top_k", 20},
                                            {"repetition_penalty", 1.05},
                                            {"do_sample", true},
                                            {"eos_token_id", {1, 2}},
                                            {"typical_p", 0.9},
                                            {"max_new_tokens", 512}});
  EXPECT_EQ(out.temperature, 0.6);
  EXPECT_EQ(out.top_p, 0.95);
  EXPECT_EQ(out.min_p, 0.05);
  EXPECT_EQ(out.top_k, 20);
  EXPECT_EQ(out.repetition_penalty, 1.05);
  EXPECT_EQ(out.unsupported, std::vector<std::string>{"'typical_p'"});
}

TEST(HuggingFaceSampling, AModelThatDoesNotSampleRecommendsNoSampler) {
  const SamplingDefaults out =
      sampling_of({{"do_sample", false}, {"temperature", 0.6}, {"repetition_penalty", 1.1}});
  EXPECT_EQ(out.temperature, std::nullopt);
  EXPECT_EQ(out.repetition_penalty, 1.1);
}

TEST(HuggingFaceSampling, AValueOfTheWrongTypeIsNamed) {
  try {
    sampling_of({{"temperature", "warm"}});
    FAIL() << "was accepted";
  } catch (const LoadError& error) {
    EXPECT_STREQ(error.what(),
                 "generation_config.json: key 'temperature' is a string, must be a number");
  }
}

}  // namespace
}  // namespace lockstep::testing
