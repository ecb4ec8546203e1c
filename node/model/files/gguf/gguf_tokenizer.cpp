#include <algorithm>

#include "node/model/files/gguf/gguf_config.h"
#include "node/text/tokenizer/pre_tokenizer.h"

namespace lockstep::gguf {
namespace {

// Names of the tokens with which model families end a turn, beside the file's eos token.
constexpr std::string_view kEndNames[] = {"<|im_end|>",   "<|eot_id|>",    "<|eom_id|>",
                                          "<|end|>",      "<|endoftext|>", "<|end_of_text|>",
                                          "<end_of_turn>"};

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

// Returns -1 if the file has no such key.
int32_t read_id(const Metadata& metadata, std::string_view name, size_t n_tokens) {
  const std::string key = "tokenizer.ggml." + std::string(name);
  if (!metadata.has(key)) return -1;
  return static_cast<int32_t>(metadata.integer(key, 0, static_cast<int64_t>(n_tokens) - 1));
}

std::vector<int32_t> read_extra_ends(const Metadata& metadata, const TokenizerData& data) {
  std::vector<int32_t> ids;
  const auto add = [&](int32_t id) {
    const bool known = id < 0 || id == data.eos_id || std::count(ids.begin(), ids.end(), id) > 0;
    if (!known) ids.push_back(id);
  };
  add(read_id(metadata, "eot_token_id", data.tokens.size()));
  add(read_id(metadata, "eom_token_id", data.tokens.size()));
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool special =
        data.types[i] == TokenType::kControl || data.types[i] == TokenType::kUserDefined;
    const bool named = std::find(std::begin(kEndNames), std::end(kEndNames), data.tokens[i]) !=
                       std::end(kEndNames);
    if (special && named) add(static_cast<int32_t>(i));
  }
  return ids;
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
  data.merges = metadata.find_strings("tokenizer.ggml.merges").value_or(std::vector<std::string>());
  data.bos_id = read_id(metadata, "bos_token_id", n);
  data.eos_id = read_id(metadata, "eos_token_id", n);
  data.unk_id = read_id(metadata, "unknown_token_id", n);
  data.pad_id = read_id(metadata, "padding_token_id", n);
  data.extra_eog_ids = read_extra_ends(metadata, data);
  data.add_bos = metadata.find_bool("tokenizer.ggml.add_bos_token")
                     .value_or(PreTokenizer::family_adds_bos(data.pre));
  data.chat_template = metadata.find_string("tokenizer.chat_template").value_or("");
  return data;
}

}  // namespace lockstep::gguf
