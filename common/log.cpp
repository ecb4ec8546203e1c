#include "common/log.h"

#include <cstdio>

namespace lockstep {
namespace {

LogSink& sink() {
  static LogSink instance;
  return instance;
}

}  // namespace

void set_log_sink(LogSink new_sink) { sink() = std::move(new_sink); }

void log(LogLevel level, std::string_view line) {
  if (sink()) {
    sink()(level, line);
    return;
  }
  if (level == LogLevel::kDebug) return;
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

}  // namespace lockstep
