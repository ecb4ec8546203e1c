// Server-sent events in the form that OpenAI clients read. Pure.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
#pragma once

#include <string>
#include <string_view>

namespace lockstep::sse {

inline constexpr const char* kDone = "data: [DONE]\n\n";
// Comments have no blank line behind them: to a reader that has seen an id, such as OpenAI's Python
// client, a blank line ends an event, which would be without data.
inline constexpr const char* kKeepAlive = ": keep-alive\n";

// Appends a comment of one line, which clients skip.
inline void append_comment(std::string_view line, std::string& out) {
  out += ": ";
  out += line;
  out += '\n';
}

// Appends `json` as one line. Some clients end a line at U+0085, U+2028 and U+2029 too (Python's
// splitlines() does). JSON may contain these characters only inside strings, where an escape is
// equivalent, so they are escaped here. JSON has no other line ends: it escapes all characters
// below U+0020.
inline void append_json(std::string_view json, std::string& out) {
  // Fast path at the speed of memchr: most texts contain none of the lead bytes.
  if (json.find('\xE2') == json.npos && json.find('\xC2') == json.npos) {
    out += json;
    return;
  }
  for (size_t i = 0; i < json.size();) {
    const std::string_view rest = json.substr(i);
    if (rest.starts_with("\xC2\x85")) {
      out += "\\u0085";
      i += 2;
    } else if (rest.starts_with("\xE2\x80\xA8") || rest.starts_with("\xE2\x80\xA9")) {
      out += rest[2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 3;
    } else {
      out += json[i++];
    }
  }
}

// An empty `id` is left out.
inline void append_event(std::string_view json, std::string& out, std::string_view id = {}) {
  if (!id.empty()) {
    out += "id: ";
    out += id;
    out += '\n';
  }
  out += "data: ";
  append_json(json, out);
  out += "\n\n";
}

}  // namespace lockstep::sse
