// Server-sent events, as OpenAI's clients read them. Pure.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
#pragma once

#include <string>
#include <string_view>

namespace lockstep::sse {

inline constexpr const char* kDone = "data: [DONE]\n\n";
inline constexpr const char* kKeepAlive = ": keep-alive\n\n";

// One line, which clients skip.
inline void append_comment(std::string_view line, std::string& out) {
  out += ": ";
  out += line;
  out += "\n\n";
}

// `json` is one line.
inline void append_event(std::string_view json, std::string& out) {
  out += "data: ";
  out += json;
  out += "\n\n";
}

}  // namespace lockstep::sse
