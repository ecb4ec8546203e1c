// The subcommands of `lockstep`. Each takes the arguments after its own name (argv[0] is the name)
// and returns the exit code: 0 done, 1 the request failed, 2 bad arguments or a model that does
// not load.
#pragma once

namespace lockstep {

int run_serve(int argc, const char* const* argv);
int run_chat(int argc, const char* const* argv);
int run_complete(int argc, const char* const* argv);
int run_status(int argc, const char* const* argv);
int run_top(int argc, const char* const* argv);
int run_inspect(int argc, const char* const* argv);
int run_bench(int argc, const char* const* argv);

}  // namespace lockstep
