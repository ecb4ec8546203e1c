#include "common/service/config/config.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

struct Sample {
  std::string model;
  int64_t block_size = 16;
  double top = 0.5;
  bool insecure = false;
  bool cache = true;
  std::vector<std::string> node;
  std::optional<int64_t> seed;
  template <class V>
  void visit_fields(V& v) {
    v.group("Model");
    v(model, "model", "PATH", "Path of the model file.");
    v(block_size, "block_size", "tokens", "Number of tokens in a KV block.");
    v(top, "top", "", "Some number.");
    v.group("Network");
    v(insecure, "insecure", "", "Allow addresses other than loopback.");
    v.group("Model");
    v(cache, "cache", "", "Remember everything.", "forget_all");
    v.group("Network");
    v(node, "node", "ENDPOINT", "Endpoints of nodes.");
    v(seed, "seed", "", "Seed of requests that bring none.");
    v.unneeded("swap_space", "nothing is swapped");
  }
};

struct ConfigTest : ::testing::Test {
  ConfigTest() {
    source.positional("model");
    source.add(config);
  }
  std::optional<int> load(std::vector<const char*> args) {
    args.insert(args.begin(), "program");
    return source.load(static_cast<int>(args.size()), args.data());
  }
  std::string yaml_error(const char* text) {
    const Status status = source.apply_yaml(text, "f.yaml");
    return status ? "" : status.error().message;
  }
  Sample config;
  ConfigSource source{"program", "a test"};
};

TEST_F(ConfigTest, FlagsFillFieldsOfEveryType) {
  EXPECT_EQ(load({"m.gguf", "--block-size", "32", "--top=0.25", "--insecure", "--node", "a",
                  "--node", "b", "--seed", "7"}),
            std::nullopt);
  EXPECT_EQ(config.model, "m.gguf");
  EXPECT_EQ(config.block_size, 32);
  EXPECT_EQ(config.top, 0.25);
  EXPECT_TRUE(config.insecure);
  EXPECT_EQ(config.node, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.seed, 7);
}

TEST_F(ConfigTest, FlagsOverrideTheFileAndTheFileOverridesDefaults) {
  const testing::TemporaryPath path;
  path.write("block_size: 8\ntop: 0.125\ninsecure: true\nnode: [x]\n");
  EXPECT_EQ(load({"--config", path.c_str(), "--block-size", "4", "--no-insecure"}), std::nullopt);
  EXPECT_EQ(config.block_size, 4);
  EXPECT_EQ(config.top, 0.125);
  EXPECT_FALSE(config.insecure);
  EXPECT_EQ(config.node, std::vector<std::string>{"x"});
  EXPECT_EQ(config.seed, std::nullopt);
}

TEST_F(ConfigTest, UnknownKeyNamesLineAndNearestName) {
  EXPECT_EQ(yaml_error("top: 1\n\nblok_size: 8\n"),
            "f.yaml:3: unknown key 'blok_size'; did you mean 'block_size'?");
}

TEST_F(ConfigTest, DuplicateKeyNamesBothLines) {
  EXPECT_EQ(yaml_error("block_size: 8\ntop: 1\nblock_size: 8\n"),
            "f.yaml:3: 'block_size' is given twice, first on line 1");
}

TEST_F(ConfigTest, WrongTypesNameFieldAndUnit) {
  EXPECT_EQ(yaml_error("block_size: 1.5\n"),
            "f.yaml:1: block_size: '1.5' is not a whole number (tokens)");
  EXPECT_EQ(yaml_error("insecure: yes\n"), "f.yaml:1: insecure: 'yes' is not true or false");
  EXPECT_EQ(yaml_error("top: .nan\n"), "f.yaml:1: top: '.nan' is not a finite number");
  EXPECT_EQ(yaml_error("block_size: [1]\n"), "f.yaml:1: block_size takes one value");
  EXPECT_EQ(yaml_error("node: a\n"), "f.yaml:1: node takes a list");
  EXPECT_EQ(yaml_error("block_size: {a: 1}\n"),
            "f.yaml:1: block_size: a value or a list of values is missing");
  EXPECT_EQ(yaml_error("- a\n"), "f.yaml:1: the file must be a map of settings");
  EXPECT_NE(yaml_error("a: [1\n"), "");
}

TEST_F(ConfigTest, BadCommandLinesExitWithTwo) {
  EXPECT_EQ(load({"--blok-size", "8"}), 2);
  EXPECT_EQ(load({"--block-size", "eight"}), 2);
  EXPECT_EQ(load({"--config", "/nonexistent.yaml"}), 2);
  EXPECT_EQ(load({"a.gguf", "b.gguf"}), 2);
}

TEST_F(ConfigTest, PrintedSettingsReadBackAsTheSame) {
  ASSERT_EQ(load({"m: #1.gguf", "--seed", "3", "--node", "tcp://127.0.0.1:1"}), std::nullopt);
  const std::string yaml = source.to_yaml();
  Sample again;
  ConfigSource reader("program", "");
  reader.add(again);
  const Status status = reader.apply_yaml(yaml, "printed");
  ASSERT_TRUE(status) << status.error().message << "\n" << yaml;
  EXPECT_EQ(again.model, config.model);
  EXPECT_EQ(again.seed, config.seed);
  EXPECT_EQ(again.node, config.node);
}

TEST_F(ConfigTest, AnyValueIsPrintedSoThatItReadsBack) {
  for (const char* text :
       {"two\nlines", "tab\there", "cr\r", "\x01\x1f\x7f", "null", "~", "NULL", " x", "---", "a: b",
        "a #b", "é \"\\\"", "true", "0x10", "=", "<<", "[a]"}) {
    config.model = text;
    config.node = {text, "", text};
    config.top = 0.1234567890123;
    Sample again;
    ConfigSource reader("program", "");
    reader.add(again);
    const Status status = reader.apply_yaml(source.to_yaml(), "printed");
    ASSERT_TRUE(status) << status.error().message << "\n" << source.to_yaml();
    EXPECT_EQ(again.model, config.model);
    EXPECT_EQ(again.node, config.node);
    EXPECT_EQ(again.top, config.top);
  }
}

TEST_F(ConfigTest, TheOppositeOfASwitchIsAnotherNameForIt) {
  EXPECT_EQ(load({"--forget-all"}), std::nullopt);
  EXPECT_FALSE(config.cache);
  EXPECT_EQ(load({"--forget-all=false"}), std::nullopt);
  EXPECT_TRUE(config.cache);
  EXPECT_EQ(load({"--no-cache", "--forget-all"}), std::nullopt) << "they say the same";
  EXPECT_FALSE(config.cache);
  EXPECT_EQ(yaml_error("forget_all: false\ncache: true\n"), "");
  EXPECT_TRUE(config.cache);
  EXPECT_EQ(yaml_error("forget_all: true\n"), "");
  EXPECT_FALSE(config.cache);
  EXPECT_EQ(source.to_yaml().find("forget_all"), std::string::npos);
}

TEST_F(ConfigTest, AFlagOverridesTheOppositeInTheFile) {
  const testing::TemporaryPath path;
  path.write("cache: true\n");
  EXPECT_EQ(load({"--config", path.c_str(), "--forget-all"}), std::nullopt);
  EXPECT_FALSE(config.cache);
  path.write("forget_all: true\n");
  EXPECT_EQ(load({"--config", path.c_str(), "--cache"}), std::nullopt);
  EXPECT_TRUE(config.cache);
}

TEST_F(ConfigTest, ASwitchThatContradictsItsOppositeExitsWithTwo) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(load({"--cache", "--forget-all"}), 2);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "program: --cache=true and --forget-all=true contradict each other\n");
  EXPECT_EQ(load({"--no-cache", "--forget-all=false"}), 2);
  EXPECT_EQ(yaml_error("cache: true\ntop: 1\nforget_all: true\n"),
            "f.yaml:3: forget_all: true contradicts cache: true on line 1");
  EXPECT_EQ(yaml_error("forget_all: false\ncache: false\n"),
            "f.yaml:1: forget_all: false contradicts cache: false on line 2");
}

TEST_F(ConfigTest, BadValuesOfAnOppositeAreReportedUnderItsName) {
  EXPECT_EQ(yaml_error("forget_all: yes\n"), "f.yaml:1: forget_all: 'yes' is not true or false");
  EXPECT_EQ(yaml_error("forget_al: true\n"),
            "f.yaml:1: unknown key 'forget_al'; did you mean 'forget_all'?");
}

TEST_F(ConfigTest, SettingsArePrintedUnderTheirHeadingsWithSentenceAndType) {
  EXPECT_EQ(source.to_yaml(),
            "## Model\n"
            "# Path of the model file. [PATH]\n"
            "model: \"\"\n"
            "# Number of tokens in a KV block. [INT]\n"
            "block_size: 16\n"
            "# Some number. [FLOAT]\n"
            "top: 0.5\n"
            "# Remember everything. [BOOL]\n"
            "cache: true\n"
            "\n"
            "## Network\n"
            "# Allow addresses other than loopback. [BOOL]\n"
            "insecure: false\n"
            "# Endpoints of nodes. [ENDPOINT]\n"
            "node: []\n"
            "# Seed of requests that bring none. [INT]\n"
            "# seed:\n");
}

TEST_F(ConfigTest, HelpAddsTheDefaultToEachSentence) {
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(load({"--help"}), 0);
  const std::string help = ::testing::internal::GetCapturedStdout();
  for (const char* part :
       {"Model:\n", "Network:\n", "--block-size INT", "Number of tokens in a KV block. Default 16.",
        "Path of the model file. Empty by default.", "Remember everything. Default true.",
        "Seed of requests that bring none. Absent by default."}) {
    EXPECT_NE(help.find(part), std::string::npos) << part << " is not in\n" << help;
  }
  EXPECT_EQ(help.find("swap"), std::string::npos) << help;
}

TEST_F(ConfigTest, AFlagOfAnotherEngineIsAcceptedAndLogged) {
  for (const std::vector<const char*>& args :
       std::vector<std::vector<const char*>>{{"--swap-space", "m.gguf"},
                                             {"--swap-space=4", "m.gguf"},
                                             {"--swap-space", "4", "m.gguf"},
                                             {"m.gguf", "--swap-space", "-1"}}) {
    config.model.clear();
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(load(args), std::nullopt);
    EXPECT_EQ(::testing::internal::GetCapturedStderr(),
              "--swap-space has no effect: nothing is swapped\n");
    EXPECT_EQ(config.model, "m.gguf");
  }
}

TEST_F(ConfigTest, AKeyOfAnotherEngineIsAnErrorThatSaysWhy) {
  EXPECT_EQ(yaml_error("top: 1\nswap_space: 4\n"),
            "f.yaml:2: swap_space is a setting of other engines and not needed here: nothing is "
            "swapped; remove the key");
}

TEST(Wrapped, LinesEndAtWordsAndIndentedOnesAreContinuedDeeper) {
  EXPECT_EQ(wrapped("one two three\n  four five", 9),
            (std::vector<std::string>{"one two", "three", "  four", "    five"}));
  EXPECT_EQ(wrapped("incomprehensibly a", 5), (std::vector<std::string>{"incomprehensibly", "a"}));
  EXPECT_EQ(wrapped("", 5), std::vector<std::string>{});
}

TEST_F(ConfigTest, TwoStructsMayShareAField) {
  Sample second;
  source.add(second);
  EXPECT_EQ(load({"--block-size", "64"}), std::nullopt);
  EXPECT_EQ(config.block_size, 64);
  EXPECT_EQ(second.block_size, 64);
}

}  // namespace
}  // namespace lockstep
