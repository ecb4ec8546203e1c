#include "common/service/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "common/log.h"

namespace lockstep {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

LogLevel lowest_level(int verbosity) {
  if (verbosity <= 0) return LogLevel::kWarning;
  if (verbosity == 1) return LogLevel::kInfo;
  return verbosity == 2 ? LogLevel::kDebug : LogLevel::kTrace;
}

}  // namespace

void start_logging(int verbosity) {
  auto logger = spdlog::stderr_color_mt("lockstep");
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  const LogLevel lowest = lowest_level(verbosity);
  logger->set_level(spdlog_level(lowest));
  logger->flush_on(spdlog::level::trace);
  set_log_sink([logger](LogLevel level,
                        std::string_view line) { logger->log(spdlog_level(level), "{}", line); },
               lowest);
}

}  // namespace lockstep
