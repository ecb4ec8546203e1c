// Any settings file is refused with its name and a line, or gives settings that print as a file
// which gives the same settings.
#include "common/check.h"
#include "common/service/config/config.h"
#include "tests/fuzz/target.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  return {
      "model: m.gguf\nblock_size: 32\ntop: 0.25\ninsecure: true\nnode: [a, 'b c']\nseed: 7\n",
      "# note\nmodel: \"tab\\t\\u00e9 # \\\\ x\"\nnode:\n  - tcp://127.0.0.1:1\n  - \"\"\n",
      "%YAML 1.2\n---\n{model: !!str 12, \"top\": -1e-3, node: []}\n...\n",
      "? model\n: >-\n  folded\n  text\ntop: &x 1\nblock_size: *x\n",
      "model: |+\n  kept\n\nnode: [~, null, {a: 1}]\n<<: {seed: 1}\n",
  };
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

struct Settings {  // one field of every kind
  std::string model;
  int64_t block_size = 16;
  double top = 0.5;
  bool insecure = false;
  std::vector<std::string> node;
  std::optional<int64_t> seed;

  template <class V>
  void visit_fields(V& v) {
    v(model, "model", "", "a text");
    v(block_size, "block_size", "tokens", "a whole number");
    v(top, "top", "", "a number");
    v(insecure, "insecure", "", "a switch");
    v(node, "node", "", "a list");
    v(seed, "seed", "", "a number that may be absent");
  }
  bool operator==(const Settings&) const = default;
};

Status read(std::string_view text, Settings& settings) {
  ConfigSource source("fuzz", "");
  source.add(settings);
  return source.apply_yaml(text, "f.yaml");
}

std::string print(Settings settings) {
  ConfigSource source("fuzz", "");
  source.add(settings);
  return source.to_yaml();
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  Settings settings;
  const Status status = read(testing::as_text(data, n_bytes), settings);
  if (!status) {
    const std::string& message = status.error().message;
    CHECK(message.rfind("f.yaml:", 0) == 0 && message.size() > std::string("f.yaml:1: ").size());
    return 0;
  }
  Settings again;
  CHECK(read(print(settings), again).has_value());
  CHECK(again == settings);
  return 0;
}
