// Any text is refused with the line that is wrong, or is a template that renders, the same every
// time and within its bounds, or says why not. Text in UTF-8 renders to UTF-8.
#include "common/check.h"
#include "common/text/utf8.h"
#include "node/text/jinja/chat_template.h"
#include "tests/fuzz/target.h"
#include "tests/unit/text/golden_file.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  const nlohmann::json golden = golden_file("templates.json");
  std::vector<std::string> seeds;
  for (const auto& style : golden.at("styles").items()) seeds.push_back(style.value());
  for (const auto& snippet : golden.at("snippets")) seeds.push_back(snippet.at("template"));
  return seeds;
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

constexpr size_t kMaxRenderedBytes = size_t{256} << 20;

const ChatTemplateInput& conversation() {
  static const ChatTemplateInput input = {.messages = {{"system", "  Be \"brief\".\n", ""},
                                                       {"user", "Héllo 🙂", "Ada"},
                                                       {"assistant", "ok", ""}},
                                          .bos_token = "<s>",
                                          .eos_token = "</s>"};
  return input;
}

bool names_a_line(const Error& error) { return error.message.find("line ") != std::string::npos; }

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  const std::string_view source = testing::as_text(data, n_bytes);
  const auto parsed = ChatTemplate::parse(source);
  if (!parsed) {
    CHECK(parsed.error().code == ErrorCode::kModelLoadFailed);
    CHECK(names_a_line(parsed.error()));
    return 0;
  }
  const auto text = parsed->render(conversation());
  const auto again = parsed->render(conversation());
  CHECK_EQ(text.has_value(), again.has_value());
  if (!text) {
    const bool has_own_words = source.find("raise_exception") != std::string_view::npos;
    CHECK(text.error().code == ErrorCode::kInvalidRequest);
    CHECK(has_own_words || names_a_line(text.error()));
    CHECK(again.error().message == text.error().message);
    return 0;
  }
  CHECK(*again == *text);
  CHECK(text->size() <= kMaxRenderedBytes);
  CHECK(!utf8::is_valid(source) || utf8::is_valid(text->bytes()));
  return 0;
}
