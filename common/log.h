// log(): one line with a level, to a sink that main() chooses (standard error until then). Lines
// read `message key=value key=value`. Any thread; never on the step path.
#pragma once

#include <functional>
#include <sstream>
#include <string>
#include <string_view>

namespace lockstep {

enum class LogLevel { kTrace, kDebug, kInfo, kWarning, kError };

using LogSink = std::function<void(LogLevel, std::string_view)>;

// Call once from main(), before other threads start. `lowest`: what the sink writes at all.
void set_log_sink(LogSink sink, LogLevel lowest = LogLevel::kDebug);
// False if log() at this level is for nothing: ask before a line that is much work to write.
bool is_logged(LogLevel level);
void log(LogLevel level, std::string_view line);

// str("pool of ", n, " blocks"): the pieces, one after another.
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace lockstep
