// Any JSON value, and any text in one, that is sent as a server-sent event comes out of a reader of
// the event stream as the same value, once, with its id, whichever line ends the reader knows.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/check.h"
#include "common/text/utf8.h"
#include "coordinator/http/sse.h"
#include "tests/fuzz/target.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  return {R"({"id":"chatcmpl-1","choices":[{"delta":{"content":"Hi\n\r\n\ndata: [DONE]"}}]})",
          "{\"text\":\"a\xC2\x85"
          "b\xE2\x80\xA8"
          "c\xE2\x80\xA9"
          "d\xE2\x82\xAC\"}",
          R"({"text":"\u0085\u2028\u2029\u0000","\u2028":[1,2.5,null,true]})", "\"\xC2\xA0\""};
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

using nlohmann::json;

struct Event {
  std::string id, data;
};

// The lines of `text` for a reader that ends lines as Python's splitlines() does, which is more
// often than the standard says. Every line must have its end.
std::vector<std::string> lines_of(std::string_view text) {
  static constexpr std::array<std::string_view, 10> kEnds = {
      "\r\n", "\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\xC2\x85", "\xE2\x80\xA8"};
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const auto end =
        std::ranges::find_if(kEnds, [&](std::string_view e) { return text.starts_with(e); });
    const bool is_paragraph = text.starts_with("\xE2\x80\xA9");
    if (end != kEnds.end() || is_paragraph) {
      text.remove_prefix(is_paragraph ? 3 : end->size());
      lines.emplace_back();
    } else {
      lines.back() += text.front();
      text.remove_prefix(1);
    }
  }
  CHECK(lines.back().empty());
  lines.pop_back();
  return lines;
}

std::vector<Event> read(std::string_view text) {
  std::vector<Event> events;
  Event event;
  for (const std::string& line : lines_of(text)) {
    if (line.empty()) {
      if (!event.data.empty()) events.push_back(std::exchange(event, {}));
    } else if (line.starts_with("data: ")) {
      CHECK(event.data.empty());
      event.data = line.substr(6);
    } else if (line.starts_with("id: ")) {
      event.id = line.substr(4);
    } else {
      CHECK(line.starts_with(": "));  // a comment
    }
  }
  return events;
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  const std::string_view input = testing::as_text(data, n_bytes);
  json value = json::parse(input, nullptr, false);
  if (value.is_discarded()) {
    if (!utf8::is_valid(input)) return 0;
    value = {{"text", std::string(input)}};
  }
  const std::string text = value.dump();
  std::string stream = sse::kKeepAlive;
  sse::append_event(text, stream, "0:17:stop,usage");
  sse::append_comment("route node=a", stream);
  sse::append_event(text, stream);
  stream += sse::kDone;
  const std::vector<Event> events = read(stream);
  CHECK_EQ(events.size(), 3u);
  CHECK(events[0].id == "0:17:stop,usage" && json::parse(events[0].data) == value);
  CHECK(events[1].id.empty() && json::parse(events[1].data) == value);
  CHECK(events[2].data == "[DONE]");
  return 0;
}
