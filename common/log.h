// log(): writes one line with a level to the sink that main() sets (before that, to standard
// error). Lines have the form `message key=value key=value`. Any thread; never on the step path.
#pragma once

#include <functional>
#include <sstream>
#include <string>
#include <string_view>

namespace lockstep {

enum class LogLevel { kTrace, kDebug, kInfo, kWarning, kError };

using LogSink = std::function<void(LogLevel, std::string_view)>;

// To be called once from main(), before other threads start. `lowest` is the lowest level that the
// sink writes.
void set_log_sink(LogSink sink, LogLevel lowest = LogLevel::kDebug);
// Returns false if log() at this level writes nothing. Check it before composing a costly line.
bool is_logged(LogLevel level);
void log(LogLevel level, std::string_view line);

// Concatenates its arguments: str("pool of ", n, " blocks").
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace lockstep
