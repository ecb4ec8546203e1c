// Logging of the services: writes common/log.h's lines to standard error with spdlog.
#pragma once

namespace lockstep {

// verbosity 0 logs warnings and errors, 1 also information, 2 also debug lines, 3 and more
// everything.
void start_logging(int verbosity);

}  // namespace lockstep
