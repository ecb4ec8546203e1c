// lockstep: the command-line tool. main() selects the subcommand; the other files of clients/cli/
// implement the subcommands.
#include <array>
#include <cstdio>
#include <exception>
#include <string_view>

#include "clients/cli/commands.h"
#include "common/fault_points.h"
#include "common/load_error.h"
#include "common/version.h"

namespace {

struct Command {
  std::string_view name;
  int (*run)(int, const char* const*);
  const char* help;
};

constexpr std::array kCommands{
    Command{"serve", lockstep::run_serve, "Runs a coordinator and a node in one process."},
    Command{"chat", lockstep::run_chat, "Talks to a model, in this process or over --connect."},
    Command{"complete", lockstep::run_complete,
            "Continues a prompt, in this process or over --connect."},
    Command{"status", lockstep::run_status, "Shows what a running cluster does."},
    Command{"top", lockstep::run_top, "Shows live what a node's KV cache holds and does."},
    Command{"why", lockstep::run_why, "Shows why a coordinator sent a request to its node."},
    Command{"inspect", lockstep::run_inspect, "Shows what a model file holds."},
    Command{"bench", lockstep::run_bench,
            "Measures the tokens per second of a model on this machine."},
};

void print_usage(std::FILE* out) {
  std::fputs("usage: lockstep COMMAND [arguments]; lockstep COMMAND --help\n\n", out);
  for (const Command& command : kCommands) {
    std::fprintf(out, "  %-9.*s %s\n", static_cast<int>(command.name.size()), command.name.data(),
                 command.help);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (const lockstep::Status armed = lockstep::take_fault_flags(argc, argv); !armed) {
    std::fprintf(stderr, "lockstep: %s\n", armed.error().message.c_str());
    return 2;
  }
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "--version") {
    std::printf("lockstep %s\n", lockstep::kVersion);
    return 0;
  }
  if (name == "--help" || name == "-h") {
    print_usage(stdout);
    return 0;
  }
  for (const Command& command : kCommands) {
    if (command.name != name) continue;
    try {
      return command.run(argc - 1, argv + 1);
    } catch (const std::exception& error) {  // LoadError, or std::bad_alloc while loading
      std::fprintf(stderr, "lockstep %s: %s\n", argv[1], error.what());
      return 2;
    }
  }
  if (!name.empty()) std::fprintf(stderr, "lockstep: unknown command '%s'\n", argv[1]);
  print_usage(stderr);
  return 2;
}
