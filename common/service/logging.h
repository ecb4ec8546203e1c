// Logging of the services: sends common/log.h to spdlog on standard error, one line each.
#pragma once

namespace lockstep {

// verbosity 0: warnings and errors; 1: also information; 2: also debug lines; 3 and more:
// everything.
void start_logging(int verbosity);

}  // namespace lockstep
