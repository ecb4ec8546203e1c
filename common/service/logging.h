// start_logging: sets the sink of common/log.h to spdlog on standard error. To be called once, from
// main().
#pragma once

namespace lockstep {

// verbosity 0 logs warnings and errors, 1 also information, 2 also debug lines, 3 and more also
// trace lines.
void start_logging(int verbosity);

}  // namespace lockstep
