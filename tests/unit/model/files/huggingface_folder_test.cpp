// Folders of Hugging Face: which files are opened, and that a file that is missing, damaged,
// changed or not the one that the index means is named.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/load_error.h"
#include "node/model/files/huggingface/json_keys.h"
#include "node/model/files/open_model_file.h"
#include "node/model/rank/rank_group.h"
#include "tests/support/paths.h"
#include "tests/unit/model/huggingface_files.h"

namespace lockstep::testing {
namespace {

std::string refusal(const std::function<void()>& load) {
  try {
    load();
  } catch (const LoadError& error) {
    return error.what();
  }
  return "";
}

class HuggingFaceFolder : public ::testing::Test {
 protected:
  std::string refused() const {
    return refusal([this] { open_model_file(folder_.str()); });
  }
  void expect_refused(const std::string& said) const {
    const std::string message = refused();
    EXPECT_EQ(message.find(folder_.str() + ": "), 0u) << message;
    EXPECT_NE(message.find(said), std::string::npos) << "no \"" << said << "\" in: " << message;
  }
  void remove(const char* name) const { std::filesystem::remove(folder_.str() + "/" + name); }
  // Moves the weights to two files with an index, which has `changes`.
  void split(const HuggingFaceFiles& files, const json& changes = json::object()) const {
    files.write(folder_);
    remove("model.safetensors");
    json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", json::object()}};
    HuggingFaceFiles parts[2];
    for (HuggingFaceFiles& part : parts) part.header.clear(), part.n_data = 0;
    size_t i = 0;
    for (const auto& [name, entry] : files.header.items()) {
      const size_t part = i++ % 2;
      parts[part].add(name, entry["shape"].get<std::vector<int64_t>>());
      index["weight_map"][name] = part == 0 ? "a.safetensors" : "b.safetensors";
    }
    index["weight_map"].update(changes);
    folder_.write_below("/a.safetensors", parts[0].weights());
    folder_.write_below("/b.safetensors", parts[1].weights());
    folder_.write_below("/model.safetensors.index.json", index.dump());
  }

  const TemporaryPath folder_;
};

TEST_F(HuggingFaceFolder, IsOpenedAsAModel) {
  HuggingFaceFiles files;
  files.generation_config = json{{"temperature", 0.6}, {"top_k", 20}};
  files.add("model.layers.0.self_attn.rotary_emb.inv_freq", {8});
  files.write(folder_);
  for (const char* end : {"", "/", "/."}) {
    const auto model = open_model_file(folder_.str() + end);
    EXPECT_EQ(model->config().name, std::filesystem::path(folder_.str()).filename()) << end;
    EXPECT_EQ(model->config().architecture, "llama");
    EXPECT_EQ(model->tensors().size(), 11u) << "frequencies are no weights";
    EXPECT_EQ(model->tokenizer().tokens.size(), 8u);
    EXPECT_EQ(model->sampling_defaults().temperature, 0.6);
    EXPECT_EQ(model->sampling_defaults().top_k, 20);
    EXPECT_EQ(model->require("model.layers.0.mlp.down_proj.weight", 32, 64).type, WeightType::kF32);
  }
}

TEST_F(HuggingFaceFolder, MayHoldItsWeightsInSeveralFiles) {
  split(HuggingFaceFiles());
  EXPECT_EQ(refused(), "");
  EXPECT_EQ(open_model_file(folder_.str())->tensors().size(), 11u);
}

TEST_F(HuggingFaceFolder, MissingFilesAreNamed) {
  folder_.write_below("/readme.txt", "x");
  expect_refused("the folder has no config.json");
  HuggingFaceFiles().write(folder_);
  remove("tokenizer.json");
  expect_refused("the folder has no tokenizer.json");
  remove("model.safetensors");
  expect_refused("neither model.safetensors nor model.safetensors.index.json");
  folder_.write_below("/pytorch_model.bin", "x");
  expect_refused("pytorch_model.bin is not supported");
}

TEST_F(HuggingFaceFolder, DamagedFilesAreNamed) {
  for (const char* name :
       {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    HuggingFaceFiles files;
    files.generation_config = json::object();
    files.write(folder_);
    const std::pair<std::string, const char*> contents[] = {
        {"{\"a\": 1,}", " is not valid JSON at byte "},
        {"[1]", " is an array, not an object"},
        {"{\"a\": 1, \"a\": 2}", ": key 'a' appears twice"},
        {std::string(100, '[') + std::string(100, ']'), " nests deeper than 16"},
        {"", ": the file is empty"}};
    for (const auto& [content, said] : contents) {
      folder_.write_below(std::string("/") + name, content);
      expect_refused(name + std::string(said));
    }
  }
  HuggingFaceFiles().write(folder_);
  folder_.write_below("/generation_config.json", "{}");
  std::string bytes = HuggingFaceFiles().weights();
  bytes.pop_back();
  folder_.write_below("/model.safetensors", bytes);
  expect_refused("model.safetensors: tensor 'model.layers.0.mlp.down_proj.weight': 8192 bytes");
}

TEST_F(HuggingFaceFolder, AFileThatIsTooLargeIsRefused) {
  HuggingFaceFiles().write(folder_);
  folder_.write_below("/generation_config.json", "{" + std::string(hf::kMaxJsonBytes, ' ') + "}");
  expect_refused("generation_config.json: has 16777218 bytes, more than 16777216");
}

TEST_F(HuggingFaceFolder, AFileThatIsNoRegularFileIsRefused) {
  HuggingFaceFiles().write(folder_);
  remove("config.json");
  ASSERT_EQ(::mkfifo((folder_.str() + "/config.json").c_str(), 0600), 0);
  expect_refused("config.json: not a regular file");
}

TEST_F(HuggingFaceFolder, AnIndexThatDisagreesWithTheFilesIsRefused) {
  const std::string norm = "model.norm.weight";  // in b
  split(HuggingFaceFiles(), {{norm, "a.safetensors"}});
  expect_refused(
      "b.safetensors: tensor 'model.norm.weight', which model.safetensors.index.json puts "
      "in a.safetensors");
  split(HuggingFaceFiles(), {{"x", "a.safetensors"}});
  expect_refused("a.safetensors: tensor 'x' is missing");
  split(HuggingFaceFiles(), {{norm, "c.safetensors"}});
  expect_refused("c.safetensors is missing");
  split(HuggingFaceFiles(), {{norm, "../b.safetensors"}});
  expect_refused("tensor 'model.norm.weight' is not in a file NAME.safetensors");
  split(HuggingFaceFiles(), {{norm, 5}});
  expect_refused("tensor 'model.norm.weight' is not in a file");
  folder_.write_below("/model.safetensors.index.json", "{}");
  expect_refused("key 'weight_map' is missing");
  folder_.write_below("/model.safetensors.index.json", R"({"weight_map": {}})");
  expect_refused("names no tensor");
  folder_.write_below("/model.safetensors.index.json",
                      R"({"weight_map": {"model.norm.weight": "b.safetensors"}})");
  expect_refused("which model.safetensors.index.json does not name");
}

TEST_F(HuggingFaceFolder, TensorsThatTheModelDoesNotNeedOrLacksAreNamed) {
  HuggingFaceFiles files;
  files.add("model.layers.1.input_layernorm.weight", {32});
  files.write(folder_);
  expect_refused("tensor 'model.layers.1.input_layernorm.weight'");
  files = HuggingFaceFiles();
  files.config["num_hidden_layers"] = 2;
  files.write(folder_);
  expect_refused("tensor 'model.layers.1.input_layernorm.weight' is missing");
  files = HuggingFaceFiles();
  files.add("model.layers.0.self_attn.q_norm.weight", {16});
  files.write(folder_);
  expect_refused("tensor 'model.layers.0.self_attn.q_norm.weight'");
}

TEST_F(HuggingFaceFolder, WeightsThatChangeWhileTheyAreLoadedAreRefused) {
  HuggingFaceFiles().write(folder_);
  const auto file = open_model_file(folder_.str());
  const std::string weights = folder_.str() + "/model.safetensors";
  ASSERT_EQ(::truncate(weights.c_str(), 3000), 0);
  RankGroupConfig config;
  config.n_kv_blocks = 4;
  config.limits.max_model_len = 16;
  config.limits.max_tokens = 16;
  MemoryLedger ledger;
  const std::string message = refusal([&] { RankGroup group(*file, config, ledger); });
  EXPECT_EQ(message.find(weights + ": the file was truncated at offset 3000"), 0u) << message;
}

}  // namespace
}  // namespace lockstep::testing
