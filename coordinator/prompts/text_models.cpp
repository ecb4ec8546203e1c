#include "coordinator/prompts/text_models.h"

#include <algorithm>

#include "common/log.h"
#include "common/units.h"
#include "node/text/prompt/text_data.h"
#include "node/text/tokenizer/piece_cache.h"

namespace lockstep {
namespace {

// How long a question stays open, and how long to wait after one that came to nothing.
constexpr std::chrono::seconds kAnswerTimeout{10};
constexpr size_t kPieceCacheBytes = 64_MiB;

using Built = Result<std::shared_ptr<const TextModel>>;

// Any thread.
Built build_text_model(const std::string& data, const std::shared_ptr<PieceCache>& pieces) {
  TRY(TextData text, read_text_data(data));
  Result<ChatTemplate> chat_template =
      text.tokenizer.chat_template.empty()
          ? Error{ErrorCode::kInvalidRequest, "the model has no chat template", "messages"}
          : ChatTemplate::parse(text.tokenizer.chat_template);
  TRY(std::unique_ptr<Tokenizer> tokenizer, make_tokenizer(std::move(text.tokenizer), pieces));
  return std::shared_ptr<const TextModel>(std::make_shared<const TextModel>(
      std::move(tokenizer), std::move(chat_template), text.control_tokens_in_content));
}

}  // namespace

TextModels::TextModels(const NodeTable& nodes, Send send, TextWorker& worker, const Clock& clock)
    : nodes_(nodes),
      send_(std::move(send)),
      worker_(worker),
      clock_(clock),
      pieces_(std::make_shared<PieceCache>(kPieceCacheBytes)) {}

std::shared_ptr<const TextModel> TextModels::find(const std::string& text_fingerprint) const {
  const auto found = entries_.find(text_fingerprint);
  return found == entries_.end() ? nullptr : found->second.model;
}

void TextModels::tick() {
  std::set<std::string> present;
  for (const auto& node : nodes_.nodes()) {
    if (!node->is_present() || node->welcome->text_fingerprint.empty()) continue;
    present.insert(node->welcome->text_fingerprint);
    entries_.try_emplace(node->welcome->text_fingerprint);
  }
  std::erase_if(entries_, [&](const auto& entry) { return present.count(entry.first) == 0; });
  for (auto& [fingerprint, entry] : entries_) {
    if (entry.model != nullptr || entry.unusable) continue;
    const bool is_over = entry.deadline <= clock_.now() || (entry.asked && is_lost(*entry.asked));
    if (is_over) ask(fingerprint, entry);
  }
}

bool TextModels::is_lost(const NodeLife& asked) const {
  const Node& node = nodes_.node(asked.first);
  return !node.is_present() || node.welcome->epoch != asked.second;
}

// Takes turns among the nodes, because one that was asked may hang.
void TextModels::ask(const std::string& fingerprint, Entry& entry) {
  entry.question.clear();
  entry.asked.reset();
  entry.deadline = clock_.now() + kAnswerTimeout;
  std::vector<NodeLife> candidates;
  for (const auto& node : nodes_.nodes()) {
    const NodeLife life{node->id, node->welcome->epoch};
    if (node->is_present() && node->welcome->text_fingerprint == fingerprint &&
        entry.refused.count(life) == 0)
      candidates.push_back(life);
  }
  if (candidates.empty()) return;
  const uint64_t turn = n_asked_++;
  const NodeLife& chosen = candidates[turn % candidates.size()];
  std::string question = str("text-", turn);
  if (!send_(chosen.first, wire::DescribeText{question})) return;
  entry.question = std::move(question);
  entry.asked = chosen;
}

TextModels::Entries::iterator TextModels::find_question(const std::string& question) {
  return std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return !question.empty() && entry.second.question == question;
  });
}

bool TextModels::on_message(NodeId node, const wire::Message& message) {
  const auto* error = std::get_if<wire::ErrorReply>(&message);
  const auto* description = std::get_if<wire::TextDescription>(&message);
  if (error == nullptr && description == nullptr) return false;
  const auto found = find_question(error ? error->request_id : description->request_id);
  if (found == entries_.end()) return description != nullptr;  // too late, or never asked for
  auto& [fingerprint, entry] = *found;
  if (!entry.asked || entry.asked->first != node) return true;
  if (error != nullptr)
    on_useless_answer(entry, error->message);
  else
    on_description(fingerprint, entry, description->data);
  return true;
}

void TextModels::on_description(const std::string& fingerprint, Entry& entry,
                                const std::string& data) {
  if (text_fingerprint(data) != fingerprint)
    return on_useless_answer(entry, "its data does not have the text fingerprint " + fingerprint);
  build(entry, data);
}

void TextModels::on_useless_answer(Entry& entry, const std::string& problem) {
  log(LogLevel::kWarning, str("node ", nodes_.node(entry.asked->first).endpoint,
                              " gave no usable text model: ", problem));
  entry.refused.insert(*entry.asked);
  entry.question.clear();
  entry.asked.reset();
  entry.deadline = clock_.now();  // another node may have it
}

void TextModels::build(Entry& entry, std::string data) {
  entry.asked.reset();
  const auto finish = [this, question = entry.question](const Built& built) {
    const auto found = find_question(question);
    if (found == entries_.end()) return;  // no node has it any more
    Entry& asked = found->second;
    asked.question.clear();
    if (built) {
      asked.model = *built;
    } else {
      asked.unusable = true;
      log(LogLevel::kWarning, "a text model cannot be used: " + built.error().message);
    }
  };
  const auto shared = std::make_shared<const std::string>(std::move(data));
  const bool taken = worker_.run(TextWorker::kLong, 0, [shared, finish, pieces = pieces_] {
    return [finish, built = build_text_model(*shared, pieces)] { finish(built); };
  });
  if (taken)
    entry.deadline = Clock::TimePoint::max();
  else
    entry.question.clear();  // asked again later
}

}  // namespace lockstep
