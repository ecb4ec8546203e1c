#include <algorithm>
#include <cctype>
#include <cmath>

#include "node/model/files/gguf/gguf_config.h"
#include "node/model/files/shared/end_tokens.h"
#include "node/text/tokenizer/pre_tokenizer.h"

namespace lockstep::gguf {
namespace {

constexpr std::string_view kSpm = "llama";  // of tokenizer.ggml.model: SentencePiece's BPE

std::vector<TokenType> read_types(const Metadata& metadata, size_t n_tokens) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  constexpr int64_t kFirst = 1;  // GGUF counts from 1: 1 = normal … 6 = byte
  const auto raw = metadata.find_integers(kKey);
  if (!raw) return std::vector<TokenType>(n_tokens, TokenType::kNormal);
  if (raw->size() != n_tokens) {
    fail(metadata.describe(kKey), " has ", raw->size(), " entries for ", n_tokens, " tokens");
  }
  std::vector<TokenType> types;
  types.reserve(n_tokens);
  for (const int64_t type : *raw) {
    if (type < kFirst || type > kFirst + static_cast<int64_t>(TokenType::kByte)) {
      fail(metadata.describe(kKey), ": token ", types.size(), " has the unknown type ", type);
    }
    types.push_back(static_cast<TokenType>(type - kFirst));
  }
  return types;
}

// `absent`: the id if the file has no such key.
int32_t read_id(const Metadata& metadata, std::string_view name, size_t n_tokens,
                int32_t absent = -1) {
  const std::string key = "tokenizer.ggml." + std::string(name);
  if (!metadata.has(key)) return absent < static_cast<int64_t>(n_tokens) ? absent : -1;
  return static_cast<int32_t>(metadata.integer(key, 0, static_cast<int64_t>(n_tokens) - 1));
}

std::vector<float> read_scores(const Metadata& metadata, size_t n_tokens) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  auto scores = metadata.find_floats(kKey);
  if (!scores) fail("key ", quoted(kKey), " is missing; the tokenizer model 'llama' needs it");
  if (scores->size() != n_tokens) {
    fail(metadata.describe(kKey), " has ", scores->size(), " entries for ", n_tokens, " tokens");
  }
  for (size_t id = 0; id < n_tokens; ++id) {
    if (std::isnan((*scores)[id])) fail(metadata.describe(kKey), ": token ", id, " has no number");
  }
  return std::move(*scores);
}

bool is_phi3(const Metadata& metadata) {
  if (metadata.find_string("general.architecture").value_or("") == "phi3") return true;
  std::string name(metadata.find_string("general.name").value_or(""));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name.find("phi-3") != name.npos || name.find("phi3") != name.npos;
}

// The special tokens of Phi-3 take away the white space behind them (`rstrip` in its
// tokenizer_config.json). GGUF has no key for that; llama.cpp knows it by the model's name as well.
std::vector<int32_t> phi3_rstrip_ids(const TokenizerData& data) {
  constexpr std::string_view kKeepers[] = {"<unk>", "<s>", "<|endoftext|>"};
  std::vector<int32_t> ids;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool special =
        data.types[i] == TokenType::kControl || data.types[i] == TokenType::kUserDefined;
    const bool keeps =
        std::find(std::begin(kKeepers), std::end(kKeepers), data.tokens[i]) != std::end(kKeepers);
    if (special && !keeps) ids.push_back(static_cast<int32_t>(i));
  }
  return ids;
}

// What only SentencePiece vocabularies have. The defaults are llama.cpp's.
void read_spm(const Metadata& metadata, TokenizerData& data) {
  constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
  if (!metadata.has(kTypes)) {
    fail("key ", quoted(kTypes), " is missing; the tokenizer model 'llama' needs it");
  }
  constexpr const char* kCharacterMap = "tokenizer.ggml.precompiled_charsmap";
  if (metadata.has(kCharacterMap)) fail(metadata.describe(kCharacterMap), " is not supported");
  data.scores = read_scores(metadata, data.tokens.size());
  data.add_space_prefix = metadata.find_bool("tokenizer.ggml.add_space_prefix").value_or(true);
  data.remove_extra_whitespaces =
      metadata.find_bool("tokenizer.ggml.remove_extra_whitespaces").value_or(false);
  if (is_phi3(metadata)) data.rstrip_ids = phi3_rstrip_ids(data);
}

// The generation_config.json of Phi-3 ends a turn at a second <|assistant|> too.
void add_ends_of_phi3(TokenizerData& data) {
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool special =
        data.types[i] == TokenType::kControl || data.types[i] == TokenType::kUserDefined;
    if (special && data.tokens[i] == "<|assistant|>") add_end(data, static_cast<int32_t>(i));
  }
}

// Throws LoadError for special tokens that the file asks to add and this version does not add.
void refuse_unsupported_additions(const Metadata& metadata) {
  for (const char* key : {"tokenizer.ggml.add_eos_token", "tokenizer.ggml.add_sep_token"}) {
    if (metadata.find_bool(key).value_or(false)) {
      fail(metadata.describe(key), " is true, which is not supported");
    }
  }
}

}  // namespace

TokenizerData read_tokenizer(const Metadata& metadata) {
  refuse_unsupported_additions(metadata);
  TokenizerData data;
  data.model = metadata.string("tokenizer.ggml.model");
  data.pre = metadata.find_string("tokenizer.ggml.pre").value_or("");
  auto tokens = metadata.find_strings("tokenizer.ggml.tokens");
  if (!tokens || tokens->empty()) fail("key 'tokenizer.ggml.tokens' is missing or empty");
  data.tokens = std::move(*tokens);
  const size_t n = data.tokens.size();
  data.types = read_types(metadata, n);
  const bool is_spm = data.model == kSpm;
  if (is_spm) {
    read_spm(metadata, data);
  } else {
    data.merges =
        metadata.find_strings("tokenizer.ggml.merges").value_or(std::vector<std::string>());
  }
  // Without keys, a SentencePiece vocabulary has <unk>, <s> and </s> first, as it trains them.
  data.bos_id = read_id(metadata, "bos_token_id", n, is_spm ? 1 : -1);
  data.eos_id = read_id(metadata, "eos_token_id", n, is_spm ? 2 : -1);
  data.unk_id = read_id(metadata, "unknown_token_id", n, is_spm ? 0 : -1);
  data.pad_id = read_id(metadata, "padding_token_id", n);
  for (const char* name : {"eot_token_id", "eom_token_id"})
    add_end(data, read_id(metadata, name, n));
  add_named_ends(data);
  if (is_spm && is_phi3(metadata)) add_ends_of_phi3(data);
  data.add_bos = metadata.find_bool("tokenizer.ggml.add_bos_token")
                     .value_or(is_spm || PreTokenizer::family_adds_bos(data.pre));
  data.chat_template = metadata.find_string("tokenizer.chat_template").value_or("");
  return data;
}

}  // namespace lockstep::gguf
