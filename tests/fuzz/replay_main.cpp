// Runs a fuzz target without libFuzzer: over its seeds, the named files and folders, and seeded
// mutations of all of them. Mutation i depends on the seed and on i alone. What breaks the target
// is named, and left in ./failed-input for libFuzzer or for this program to take as a file.
//
//   replay_gguf [--seed S] [--first I] [--mutations N] [--write-seeds FOLDER] [FILE | FOLDER]...
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/mutate.h"
#include "tests/fuzz/target.h"

// Sanitizers then end the process as CHECK does, and on_death() names the input.
extern "C" const char* __asan_default_options() { return "abort_on_error=1"; }
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }
extern "C" const char* __tsan_default_options() { return "abort_on_error=1"; }

namespace {

namespace fs = std::filesystem;

constexpr unsigned kMaxSeconds = 60;  // for one input, under a sanitizer on a busy machine

struct Arguments {
  uint64_t seed = 1;
  uint64_t first = 0;
  uint64_t n_mutations = 0;
  std::string write_to;
  std::vector<fs::path> files;
};

// What runs now, for on_death().
std::string current_name;
std::string current_input;

// Not async-signal-safe, which is good enough for a test that has failed already.
void on_death(int signal) {
  std::signal(signal, SIG_DFL);
  std::fprintf(stderr, "%s: %s, %zu bytes, now in ./failed-input\n",
               signal == SIGALRM ? "TOO SLOW" : "FAILED", current_name.c_str(),
               current_input.size());
  std::ofstream("failed-input", std::ios::binary) << current_input;
  std::raise(signal);
}

[[noreturn]] void usage(const std::string& what) {
  std::fprintf(stderr,
               "%s\nusage: [--seed S] [--first I] [--mutations N] [--write-seeds FOLDER] "
               "[FILE | FOLDER]...\n",
               what.c_str());
  std::exit(2);
}

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name.rfind("--", 0) != 0) {
      arguments.files.emplace_back(name);
      continue;
    }
    if (++i == argc) usage(name + " needs a value");
    if (name == "--seed") {
      arguments.seed = std::strtoull(argv[i], nullptr, 10);
    } else if (name == "--first") {
      arguments.first = std::strtoull(argv[i], nullptr, 10);
    } else if (name == "--mutations") {
      arguments.n_mutations = std::strtoull(argv[i], nullptr, 10);
    } else if (name == "--write-seeds") {
      arguments.write_to = argv[i];
    } else {
      usage("unknown option " + name);
    }
  }
  return arguments;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) usage("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void write_seeds(const std::vector<std::string>& seeds, const fs::path& folder) {
  fs::create_directories(folder);
  for (size_t i = 0; i < seeds.size(); ++i) {
    std::ofstream(folder / ("seed-" + std::to_string(i)), std::ios::binary) << seeds[i];
  }
}

void run(std::string name, std::string input) {
  current_name = std::move(name);
  current_input = std::move(input);
  // A block of exactly this size, so that a sanitizer sees every step past its end.
  const size_t n_bytes = current_input.size();
  const auto bytes = std::make_unique<uint8_t[]>(n_bytes);
  std::memcpy(bytes.get(), current_input.data(), n_bytes);
  alarm(kMaxSeconds);
  LLVMFuzzerTestOneInput(bytes.get(), n_bytes);
  alarm(0);
}

void run_mutation(uint64_t seed, uint64_t index, const std::vector<std::string>& inputs) {
  std::seed_seq state{seed & 0xffffffff, seed >> 32, index & 0xffffffff, index >> 32};
  std::mt19937_64 random(state);
  std::string input = inputs[index % inputs.size()];
  lockstep::testing::mutate(input, inputs, random);
  run("mutation --seed " + std::to_string(seed) + " --first " + std::to_string(index) +
          " --mutations 1",
      std::move(input));
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = read_arguments(argc, argv);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM}) {
    std::signal(signal, on_death);
  }
  std::vector<std::string> inputs = lockstep::testing::fuzz_seeds();
  if (!arguments.write_to.empty()) write_seeds(inputs, arguments.write_to);
  for (size_t i = 0; i < inputs.size(); ++i) run("seed " + std::to_string(i), inputs[i]);
  for (const fs::path& path : arguments.files) {
    for (const fs::path& file : files_of(path)) {
      inputs.push_back(read_file(file));
      run(file.string(), inputs.back());
    }
  }
  for (uint64_t i = 0; i < arguments.n_mutations; ++i) {
    run_mutation(arguments.seed, arguments.first + i, inputs);
  }
  std::printf("%zu inputs and %llu mutations from %llu on, seed %llu\n", inputs.size(),
              static_cast<unsigned long long>(arguments.n_mutations),
              static_cast<unsigned long long>(arguments.first),
              static_cast<unsigned long long>(arguments.seed));
  return 0;
}
