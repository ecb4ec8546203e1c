#include "common/log.h"

#include <cstdio>

namespace lockstep {
namespace {

struct Logger {
  LogSink sink;
  LogLevel lowest = LogLevel::kInfo;
};

Logger& logger() {
  static Logger instance;
  return instance;
}

}  // namespace

void set_log_sink(LogSink sink, LogLevel lowest) { logger() = {std::move(sink), lowest}; }

bool is_logged(LogLevel level) { return level >= logger().lowest; }

void log(LogLevel level, std::string_view line) {
  if (!is_logged(level)) return;
  if (logger().sink) {
    logger().sink(level, line);
    return;
  }
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

}  // namespace lockstep
