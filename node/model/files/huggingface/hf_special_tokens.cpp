#include "node/model/files/huggingface/hf_special_tokens.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "node/model/files/huggingface/json_keys.h"
#include "node/model/files/shared/end_tokens.h"
#include "node/model/files/shared/load_failure.h"

namespace lockstep::hf {
namespace {

using nlohmann::json;

class SpecialTokenReader {
 public:
  SpecialTokenReader(const TokenizerFiles& files, TokenizerData& data)
      : files_(files),
        tokenizer_("tokenizer.json", files.tokenizer),
        names_("tokenizer_config.json", files.tokenizer_config ? *files.tokenizer_config : empty_),
        config_("config.json", files.config),
        generation_("generation_config.json",
                    files.generation_config ? *files.generation_config : empty_),
        data_(data) {}

  void read() {
    refuse_unsupported_additions();
    data_.bos_id = id_of("bos_token", true);
    data_.eos_id = id_of("eos_token", true);
    data_.unk_id = id_of("unk_token", false);
    data_.pad_id = id_of("pad_token", false);
    read_ends();
    const bool adds_bos = template_adds_bos();
    data_.add_bos = names_.find_bool("add_bos_token").value_or(adds_bos);
    data_.chat_template = files_.chat_template ? *files_.chat_template : named_template();
  }

 private:
  void refuse_unsupported_additions() const {
    for (const char* key : {"add_eos_token", "add_prefix_space"}) {
      if (names_.find_bool(key).value_or(false)) {
        fail(names_.describe(key), " is true, which is not supported");
      }
    }
  }

  // By name, or else by the id in config.json; -1 if neither is there. A token that is needed but
  // is not in the vocabulary is refused; another one counts as absent.
  int32_t id_of(const std::string& key, bool is_needed) const {
    const auto name = name_of(key);
    if (!name) {
      const std::vector<int32_t> ids = ids_in(config_, key + "_id");
      return ids.empty() || !is_needed ? -1 : ids.front();
    }
    const auto found = std::find(data_.tokens.begin(), data_.tokens.end(), *name);
    if (found != data_.tokens.end()) return static_cast<int32_t>(found - data_.tokens.begin());
    if (!is_needed) return -1;
    fail(names_.describe(key), " is ", lockstep::quoted(*name), ", which is not in the vocabulary");
  }

  // A token is written as its text, or as an object that has the text.
  std::optional<std::string> name_of(const std::string& key) const {
    const json* value = names_.find(key);
    if (value != nullptr && value->is_object())
      return names_.find_object(key)->find_string("content");
    return names_.find_string(key);
  }

  // One id or a list of ids.
  std::vector<int32_t> ids_in(const JsonKeys& keys, const std::string& key) const {
    const json* value = keys.find(key);
    if (value == nullptr) return {};
    std::vector<int32_t> ids;
    for (const json& id : value->is_array() ? *value : json::array({*value})) {
      const auto index = index_below(id, data_.tokens.size());
      if (!index) {
        fail(keys.describe(key), " has ", lockstep::quoted(id.dump()), ", must be an id in 0..",
             data_.tokens.size() - 1);
      }
      ids.push_back(static_cast<int32_t>(*index));
    }
    return ids;
  }

  // generation_config.json says where an answer ends; without one, config.json does.
  void read_ends() {
    constexpr const char* kKey = "eos_token_id";
    std::vector<int32_t> ids = ids_in(generation_, kKey);
    if (ids.empty()) ids = ids_in(config_, kKey);
    if (data_.eos_id < 0 && !ids.empty()) data_.eos_id = ids.front();
    for (const int32_t id : ids) add_end(data_, id);
    add_named_ends(data_);
  }

  // Whether the post-processor puts bos before a text. Refused: any other token, at any place.
  bool template_adds_bos() const {
    const auto root = tokenizer_.find_object("post_processor");
    if (!root) return false;
    if (root->find_string("type").value_or("") != "Sequence") return adds_bos(*root);
    const json* steps = root->find_array("processors");
    if (steps == nullptr) fail(root->describe("processors"), " is missing");
    bool adds = false;
    for (const json& step : *steps) adds = adds_bos(JsonKeys(root->where(), step)) || adds;
    return adds;
  }

  bool adds_bos(const JsonKeys& step) const {
    const std::string type = step.find_string("type").value_or("");
    if (type == "ByteLevel") return false;
    if (type != "TemplateProcessing") {
      fail(step.where(), ": the type ", lockstep::quoted(type), " is not supported");
    }
    const json* parts = step.find_array("single");
    if (parts == nullptr) fail(step.describe("single"), " is missing");
    bool has_bos = false, has_text = false;
    for (const json& part : *parts) {
      const JsonKeys keys(step.where(), part);
      if (keys.has("Sequence")) {
        has_text = true;
        continue;
      }
      const auto token = keys.find_object("SpecialToken");
      const std::string id = token ? token->find_string("id").value_or("") : "";
      const bool is_bos =
          data_.bos_id >= 0 && id == data_.tokens[static_cast<size_t>(data_.bos_id)];
      if (!is_bos || has_bos || has_text) {
        fail(step.describe("single"), " adds ", lockstep::quoted(id),
             ", only one bos token before the text is supported");
      }
      has_bos = true;
    }
    return has_bos;
  }

  // A string, or a list of named templates.
  std::string named_template() const {
    constexpr const char* kKey = "chat_template";
    const json* value = names_.find(kKey);
    if (value == nullptr || !value->is_array()) return names_.find_string(kKey).value_or("");
    for (const json& entry : *value) {
      const JsonKeys keys(names_.where() + ": " + kKey, entry);
      if (keys.find_string("name") == "default") return keys.find_string("template").value_or("");
    }
    return "";
  }

  const json empty_ = json::object();
  const TokenizerFiles& files_;
  const JsonKeys tokenizer_, names_, config_, generation_;
  TokenizerData& data_;
};

}  // namespace

void read_special_tokens(const TokenizerFiles& files, TokenizerData& data) {
  SpecialTokenReader(files, data).read();
}

}  // namespace lockstep::hf
