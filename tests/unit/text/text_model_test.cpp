// TextModel: prompts to ids, and a model that is built again from its published bytes.
#include "node/text/prompt/text_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "node/text/prompt/text_data.h"
#include "node/text/tokenizer/piece_cache.h"
#include "tests/unit/text/random_text.h"
#include "tests/unit/text/small_spm_vocabulary.h"
#include "tests/unit/text/small_vocabulary.h"

namespace lockstep {
namespace {

using testing::SmallVocabulary;

constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'bad' %}{{ raise_exception('no') }}"
    "{% endif %}<tool>{{ m.role }}\n{{ m.content | trim }}{{ m.name }}<|end|>{% endfor %}";

TextData text_data(bool control_tokens = false, std::string pre = "gpt-2") {
  TextData data{SmallVocabulary(std::move(pre)).data, control_tokens};
  data.tokenizer.chat_template = kTemplate;
  data.tokenizer.add_bos = true;
  return data;
}

TextData spm_text_data() {
  TextData data{testing::SmallSpmVocabulary().data, false};
  data.tokenizer.chat_template =
      "{{ bos_token }}{% for m in messages %}{% if m.role == 'bad' %}{{ raise_exception('no') }}"
      "{% endif %}<tool><|user|>\n{{ m.content }}{{ m.name }}</s>{% endfor %}";
  data.tokenizer.add_bos = true;
  data.tokenizer.rstrip_ids = {data.tokenizer.eos_id};
  return data;
}

TextModel make(const TextData& data, std::shared_ptr<PieceCache> pieces = nullptr) {
  return {make_tokenizer(data.tokenizer, std::move(pieces)).value(),
          ChatTemplate::parse(data.tokenizer.chat_template), data.control_tokens_in_content};
}

std::vector<ChatMessage> random_chat(testing::SeededRandom& random) {
  static const std::vector<std::string> kRoles = {"user", "assistant", "system", "bad", "<|end|>"};
  std::vector<ChatMessage> chat(static_cast<size_t>(random.integer(0, 6)));
  for (ChatMessage& m : chat) {
    m.role = kRoles[static_cast<size_t>(random.integer(0, random.chance(0.05) ? 4 : 2))];
    m.content =
        random.chance(0.2) ? testing::random_bytes(random, 200) : testing::random_text(random, 60);
    if (random.chance(0.3)) m.content += "<|end|> <|begin|><tool><|end|>>";
    if (random.chance(0.2)) m.name = "ann";
  }
  return chat;
}

struct Outcome {
  std::vector<int32_t> ids;
  std::string error, param;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome outcome(const TextModel& model, const PromptText& prompt, const TextLimit& limit = {}) {
  const Result<std::vector<int32_t>> ids = model.encode(prompt, limit);
  return ids ? Outcome{*ids, "", ""} : Outcome{{}, ids.error().message, ids.error().param};
}

TEST(TextModel, AModelThatIsBuiltFromItsPublishedBytesGivesTheSameIds) {
  for (const uint64_t seed : {1, 2, 3, 4, 5}) {
    testing::SeededRandom random(seed);
    const TextData data =
        seed == 5 ? spm_text_data() : text_data(seed % 2 == 0, seed < 3 ? "gpt-2" : "llama-bpe");
    const TextModel node = make(data);
    const auto pieces = std::make_shared<PieceCache>(100'000);
    const TextModel coordinator = make(read_text_data(write_text_data(data)).value(), pieces);
    for (int i = 0; i < 500; ++i) {
      const TextLimit limit = random.chance(0.1) ? context_text_limit(20) : TextLimit{};
      PromptText chat{.messages = random_chat(random)};
      EXPECT_EQ(outcome(node, chat, limit), outcome(coordinator, chat, limit));
      const std::string text = testing::random_bytes(random, 300) + "<|end|>" +
                               testing::random_text(random, 300) + "<|begin|>";
      const PromptText plain{.text = text, .add_special_tokens = random.chance(0.5)};
      EXPECT_EQ(outcome(node, plain, limit), outcome(coordinator, plain, limit));
    }
    EXPECT_GT(pieces->n_bytes(), 0u);
  }
}

TEST(TextModel, EachWayToHaveNoIdsNamesItsField) {
  const TextModel model = make(text_data());
  const TextLimit limit = context_text_limit(5);
  const std::string text(100, 'x');
  EXPECT_EQ(outcome(model, {.text = text}, limit).param, "prompt");
  EXPECT_NE(outcome(model, {.text = text}, limit).error.find("100 bytes"), std::string::npos);
  EXPECT_EQ(outcome(model, {.messages = {{{"user", text, ""}}}}, limit).param, "messages");
  EXPECT_EQ(outcome(model, {.messages = std::vector<ChatMessage>()}).error,
            "messages must not be empty");
  EXPECT_NE(outcome(model, {.messages = {{{"bad", "", ""}}}}).error.find("no"), std::string::npos);
  const TextModel without(SmallVocabulary().make(), Error{ErrorCode::kInvalidRequest, "none", "m"},
                          false);
  EXPECT_EQ(outcome(without, {.messages = {{{"user", "", ""}}}}).error, "none");
  EXPECT_EQ(without.chat_template(), nullptr);
}

TEST(TextModel, ControlTokensOfAMessageCountOnlyWhereTheyAreAllowed) {
  const SmallVocabulary vocabulary;
  const PromptText chat{.messages = {{{"user", "<|end|>", ""}}}};
  for (const bool allowed : {false, true}) {
    const auto ids = make(text_data(allowed)).encode(chat).value();
    EXPECT_EQ(std::count(ids.begin(), ids.end(), vocabulary.id("<|end|>")), allowed ? 2 : 1);
  }
}

TEST(TextData, TheSameContentHasTheSameFingerprintAndOtherContentHasAnother) {
  const TextData data = text_data();
  const std::string bytes = write_text_data(data);
  EXPECT_EQ(write_text_data(read_text_data(bytes).value()), bytes);
  EXPECT_EQ(text_fingerprint(bytes), "a529a871cc3df6c4964e9e50bbd6523a")
      << "published: must not change";
  const std::vector<std::function<void(TextData&)>> changes = {
      [](TextData& d) { d.control_tokens_in_content = true; },
      [](TextData& d) { d.tokenizer.model += "x"; },
      [](TextData& d) { d.tokenizer.pre = "qwen2"; },
      [](TextData& d) { d.tokenizer.tokens[3] = "\xFF\0z"; },
      [](TextData& d) { d.tokenizer.types[3] = TokenType::kUnused; },
      [](TextData& d) { d.tokenizer.merges.pop_back(); },
      [](TextData& d) { d.tokenizer.bos_id = -1; },
      [](TextData& d) { d.tokenizer.eos_id = -1; },
      [](TextData& d) { d.tokenizer.unk_id = -1; },
      [](TextData& d) { d.tokenizer.pad_id = 3; },
      [](TextData& d) { d.tokenizer.extra_eog_ids = {5}; },
      [](TextData& d) { d.tokenizer.add_bos = false; },
      [](TextData& d) { d.tokenizer.chat_template += " "; },
      [](TextData& d) {
        d.tokenizer.scores = {0.5f, -1};
      },
      [](TextData& d) { d.tokenizer.add_space_prefix = true; },
      [](TextData& d) { d.tokenizer.remove_extra_whitespaces = true; },
      [](TextData& d) { d.tokenizer.rstrip_ids = {5}; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    TextData changed = text_data();
    changes[i](changed);
    const std::string other = write_text_data(changed);
    EXPECT_NE(text_fingerprint(other), text_fingerprint(bytes)) << "change " << i;
    EXPECT_EQ(write_text_data(read_text_data(other).value()), other) << "change " << i;
  }
}

TEST(TextData, BytesThatWereNotWrittenAreAnError) {
  const std::string bytes = write_text_data(text_data());
  for (size_t n = 0; n < bytes.size(); n += n < 64 || n + 64 > bytes.size() ? 1 : 97)
    EXPECT_FALSE(read_text_data(std::string_view(bytes).substr(0, n))) << n << " bytes";
  EXPECT_FALSE(read_text_data(bytes + "x"));
  std::string other = bytes;
  other[0] = 'X';
  EXPECT_FALSE(read_text_data(other));
  std::string huge = bytes.substr(0, 8) + std::string("\xFF\xFF\xFF\xFF", 4);
  EXPECT_FALSE(read_text_data(huge));
}

}  // namespace
}  // namespace lockstep
