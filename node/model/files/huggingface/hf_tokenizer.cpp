#include "node/model/files/huggingface/hf_tokenizer.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/log.h"
#include "node/model/files/huggingface/hf_pre_tokenizer.h"
#include "node/model/files/huggingface/hf_special_tokens.h"
#include "node/model/files/huggingface/json_keys.h"
#include "node/model/files/shared/end_tokens.h"
#include "node/model/files/shared/load_failure.h"
#include "node/text/tokenizer/pre_tokenizer.h"

namespace lockstep::hf {
namespace {

using nlohmann::json;

constexpr const char* kFile = "tokenizer.json";
constexpr const char* kSentencePiece =
    ": tokenizers in the style of SentencePiece are not supported";
constexpr std::string_view kTopKeys[] = {"added_tokens", "decoder", "model", "normalizer",
                                         "post_processor", "pre_tokenizer",
                                         // informational, or about batches of texts
                                         "padding", "truncation", "version"};
constexpr std::string_view kModelKeys[] = {
    "byte_fallback", "continuing_subword_prefix", "dropout", "end_of_word_suffix", "ignore_merges",
    "merges", "type", "vocab",
    // only for characters that the vocabulary lacks, which a byte-level one does not
    "fuse_unk", "unk_token"};
constexpr std::string_view kAddedTokenKeys[] = {"content", "id",      "lstrip",     "normalized",
                                                "rstrip",  "special", "single_word"};

// Reads the vocabulary: the model's, then the added tokens.
class VocabularyReader {
 public:
  VocabularyReader(const JsonKeys& tokenizer, int64_t vocab_size, TokenizerData& data)
      : tokenizer_(tokenizer), data_(data), is_given_(static_cast<size_t>(vocab_size)) {
    data_.tokens.resize(is_given_.size());
    data_.types.resize(is_given_.size(), TokenType::kNormal);
  }

  void read() {
    const auto model = tokenizer_.find_object("model");
    if (!model) fail(tokenizer_.describe("model"), " is missing");
    check_model(*model);
    read_vocab(*model);
    read_merges(*model);
    read_added_tokens();
    fill_up();
  }

 private:
  // What is wrong with the type comes first, because other types have other keys.
  static void check_model(const JsonKeys& model) {
    const std::string type = model.find_string("type").value_or("BPE");
    if (type != "BPE") {
      fail(model.describe("type"), " is ", lockstep::quoted(type), ", only BPE is supported",
           type == "Unigram" ? kSentencePiece : "");
    }
    if (model.find_bool("byte_fallback").value_or(false)) {
      fail(model.describe("byte_fallback"), " is true", kSentencePiece);
    }
    model.refuse_unknown(kModelKeys);
    if (model.find_number("dropout").value_or(0) != 0) {
      fail(model.describe("dropout"), " is not 0, which is not supported");
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const std::string affix = model.find_string(key).value_or("");
      if (affix.empty()) continue;
      fail(model.describe(key), " is ", lockstep::quoted(affix), ", which is not supported");
    }
  }

  void read_vocab(const JsonKeys& model) {
    if (!model.find_object("vocab")) fail(model.describe("vocab"), " is missing");
    for (const auto& [token, id] : model.find("vocab")->items()) {
      add(token, id, TokenType::kNormal);
    }
  }

  void read_merges(const JsonKeys& model) {
    const json* merges = model.find_array("merges");
    if (merges == nullptr) fail(model.describe("merges"), " is missing");
    data_.merges.reserve(merges->size());
    for (const json& merge : *merges) {
      std::string text = merge_text(merge);
      const size_t space = text.find(' ');
      const bool is_pair = space != std::string::npos && space > 0 && space + 1 < text.size() &&
                           text.find(' ', space + 1) == std::string::npos;
      if (!is_pair) {
        fail(model.describe("merges"), ": entry ", data_.merges.size(), " is not two tokens");
      }
      data_.merges.push_back(std::move(text));
    }
  }

  // "left right", or empty for what is no merge. Older files have one string, newer ones two.
  static std::string merge_text(const json& merge) {
    if (merge.is_string()) return merge.get<std::string>();
    if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) {
      return "";
    }
    return merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }

  void read_added_tokens() {
    const json* added = tokenizer_.find_array("added_tokens");
    if (added == nullptr) return;
    for (const json& entry : *added) {
      const JsonKeys token(tokenizer_.where() + ": added_tokens", entry);
      token.refuse_unknown(kAddedTokenKeys);
      const std::string content = token.find_string("content").value_or("");
      if (content.empty() || !token.has("id"))
        fail(token.where(), ": a token has no content or no id");
      for (const char* key : {"lstrip", "rstrip", "single_word"}) {
        if (!token.find_bool(key).value_or(false)) continue;
        fail(token.where(), ": ", key, " of ", lockstep::quoted(content),
             " is true, which is not supported");
      }
      const bool is_special = token.find_bool("special").value_or(false);
      add(content, *token.find("id"), is_special ? TokenType::kControl : TokenType::kUserDefined);
    }
  }

  void add(const std::string& token, const json& id, TokenType type) {
    const auto index = index_below(id, is_given_.size());
    if (!index) {
      fail(tokenizer_.where(), ": token ", lockstep::quoted(token), " has the id ",
           lockstep::quoted(id.dump()), ", must be in 0..", is_given_.size() - 1,
           ", the rows of the model's embedding");
    }
    const size_t idx = *index;
    std::string& place = data_.tokens[idx];
    if (is_given_[idx] && place != token) {
      fail(tokenizer_.where(), ": the id ", idx, " is both ", lockstep::quoted(place), " and ",
           lockstep::quoted(token));
    }
    place = token;
    data_.types[idx] = type;
    is_given_[idx] = true;
  }

  void fill_up() {
    for (size_t i = 0; i < is_given_.size(); ++i) {
      if (is_given_[i]) continue;
      data_.tokens[i] = str("[PAD", i, "]");
      data_.types[i] = TokenType::kUnused;
    }
  }

  const JsonKeys& tokenizer_;
  TokenizerData& data_;
  std::vector<bool> is_given_;  // [vocab_size]
};

void check_decoder(const JsonKeys& tokenizer) {
  const auto decoder = tokenizer.find_object("decoder");
  const std::string type = decoder ? decoder->find_string("type").value_or("") : "none";
  if (type == "ByteLevel") return;
  fail(tokenizer.describe("decoder"), " is ", lockstep::quoted(type),
       ", only ByteLevel is supported");
}

// Whether a piece that is itself a token becomes that token is part of the pre-tokenizer here, and
// a key of the model in the file.
void check_whole_pieces(const JsonKeys& tokenizer, const std::string& pre) {
  const JsonKeys model = *tokenizer.find_object("model");
  const bool given = model.find_bool("ignore_merges").value_or(false);
  if (given == value_or_throw(PreTokenizer::make(pre)).whole_pieces_first()) return;
  fail(model.describe("ignore_merges"), " is ", given ? "true" : "false",
       ", which is not supported with the pre-tokenizer ", lockstep::quoted(pre));
}

}  // namespace

TokenizerData read_tokenizer(const TokenizerFiles& files, int64_t vocab_size) {
  const JsonKeys tokenizer(kFile, files.tokenizer);
  TokenizerData data;
  data.model = "gpt2";  // GGUF's name of byte-level BPE
  VocabularyReader(tokenizer, vocab_size, data).read();
  check_normalizer(tokenizer);
  data.pre = read_pre_tokenizer(tokenizer);
  check_whole_pieces(tokenizer, data.pre);
  check_decoder(tokenizer);
  tokenizer.refuse_unknown(kTopKeys);
  read_special_tokens(files, data);
  return data;
}

}  // namespace lockstep::hf
