// log(): one line with a level, to a sink that main() chooses (standard error until then). Lines
// read `message key=value key=value`. Any thread; never on the step path.
#pragma once

#include <functional>
#include <sstream>
#include <string>
#include <string_view>

namespace lockstep {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = std::function<void(LogLevel, std::string_view)>;

// Call once from main(), before other threads start.
void set_log_sink(LogSink sink);
void log(LogLevel level, std::string_view line);

// str("pool of ", n, " blocks"): the pieces, one after another.
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace lockstep
