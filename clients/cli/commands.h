// The subcommands of `lockstep`. In each, argv[0] is the subcommand's name. Each returns the exit
// code: 0 = success, 1 = the request failed, 2 = the arguments are invalid or the model cannot be
// loaded.
#pragma once

namespace lockstep {

int run_serve(int argc, const char* const* argv);
int run_chat(int argc, const char* const* argv);
int run_complete(int argc, const char* const* argv);
int run_status(int argc, const char* const* argv);
int run_top(int argc, const char* const* argv);
int run_why(int argc, const char* const* argv);
int run_inspect(int argc, const char* const* argv);
int run_bench(int argc, const char* const* argv);

}  // namespace lockstep
