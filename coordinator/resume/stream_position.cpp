#include "coordinator/resume/stream_position.h"

#include <charconv>
#include <limits>
#include <optional>

#include "common/log.h"

namespace lockstep {
namespace {

constexpr const char* kLastEventId = "last-event-id";
constexpr uint32_t kMaxIndex = std::numeric_limits<int32_t>::max();  // as max_tokens

Error bad(const std::string& problem) {
  return {ErrorCode::kInvalidRequest, str(kLastEventId, " ", problem), kLastEventId};
}

// Splits the text before the first `separator` off from `rest`.
std::string_view take_until(char separator, std::string_view& rest) {
  const size_t end = rest.find(separator);
  const std::string_view taken = rest.substr(0, end);
  rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  return taken;
}

std::optional<uint32_t> to_number(std::string_view digits) {
  uint32_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [read, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || read != end || value > kMaxIndex) return std::nullopt;
  return value;
}

struct NumberedPosition {
  uint32_t choice = 0;
  ChoicePosition position;
};

std::optional<NumberedPosition> parse_choice(std::string_view text) {
  const bool has_reason = text.find(':') != text.rfind(':');
  const std::optional<uint32_t> choice = to_number(take_until(':', text));
  const std::optional<uint32_t> index = to_number(take_until(':', text));
  const bool is_reason = text == "stop" || text == "length";
  if (!choice || !index || is_reason != has_reason) return std::nullopt;
  return NumberedPosition{*choice, {true, *index, std::string(text)}};
}

}  // namespace

std::string to_string(const StreamPosition& position) {
  std::string out;
  for (size_t i = 0; i < position.choices.size(); ++i) {
    const ChoicePosition& choice = position.choices[i];
    if (!choice.begun) continue;
    if (!out.empty()) out += ',';
    out += std::to_string(i);
    out += ':';
    out += std::to_string(choice.index);
    if (choice.finish_reason.empty()) continue;
    out += ':';
    out += choice.finish_reason;
  }
  if (position.has_usage) out += ",usage";
  return out;
}

Result<StreamPosition> parse_position(std::string_view text, size_t n_choices) {
  StreamPosition out;
  out.choices.resize(n_choices);
  constexpr std::string_view kUsage = ",usage";
  if (text.ends_with(kUsage)) {
    out.has_usage = true;
    text.remove_suffix(kUsage.size());
  }
  if (text.ends_with(',')) return bad("must not end with a comma");
  int64_t last = -1;
  do {
    const auto choice = parse_choice(take_until(',', text));
    if (!choice) return bad("must be the id of an event, such as 0:17 or 0:17:stop,1:15");
    if (choice->choice >= n_choices)
      return bad(str("names choice ", choice->choice, ", the response has ", n_choices));
    if (choice->choice <= last) return bad("must name each choice once, in their order");
    last = choice->choice;
    out.choices[choice->choice] = choice->position;
  } while (!text.empty());
  return out;
}

}  // namespace lockstep
