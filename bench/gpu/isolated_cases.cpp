#include "bench/gpu/isolated_cases.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/gpu/child_process.h"
#include "common/log.h"

namespace lockstep::gpu_check {
namespace {

constexpr int kMostDeaths = 8;

// One process, which runs the cases from `first` on. Returns the first case that it left over; of a
// process that died, the case behind the one that it died in. -1: no GPU.
int64_t run_process(const Options& options, const IsolatedCases& cases, int64_t first,
                    Report& report) {
  std::vector<std::string> arguments = arguments_for(options, cases.stage);
  arguments.insert(arguments.end(), {"--first-case", std::to_string(first)});
  ChildProcess process(arguments);
  int64_t next = first;  // the one that is running or will run
  const auto died = [&](const std::string& how) {
    if (next < cases.n) cases.died(next, how);
    return next + 1;
  };
  std::string line, last_message;
  for (;;) {
    const double longest_wait = std::min(cases.longest_case, report.seconds_left());
    const ChildProcess::Read read = process.read_line(line, longest_wait);
    if (read == ChildProcess::Read::kTimeout && report.out_of_time()) return next;
    if (read == ChildProcess::Read::kTimeout) {
      process.kill();
      return died(str("did not end in ", cases.longest_case, " s"));
    }
    if (read == ChildProcess::Read::kEnd) break;
    long i = 0;
    int text = 0;
    if (line.starts_with("case ")) continue;
    if (std::sscanf(line.c_str(), "done %ld %n", &i, &text) == 1) {
      cases.done(i, line.substr(static_cast<size_t>(text)));
      next = i + 1;
      if (report.out_of_time()) return next;
      continue;
    }
    last_message = line;
    report.note(line);
  }
  const std::string how = process.how_it_ended();
  if (how == str("exit code ", kExitNoGpu)) return -1;
  if (how.empty() && next == cases.n) return next;
  return died(how + (last_message.empty() ? "" : ": " + last_message));
}

}  // namespace

int64_t run_isolated(const Options& options, const IsolatedCases& cases, Report& report) {
  int64_t next = 0;
  int n_deaths = 0;
  IsolatedCases counted = cases;
  counted.died = [&](int64_t i, const std::string& how) {
    ++n_deaths;
    cases.died(i, how);
  };
  while (next >= 0 && next < cases.n && n_deaths < kMostDeaths && !report.out_of_time()) {
    next = run_process(options, counted, next, report);
  }
  return next;
}

void print_case(int64_t i) {
  std::printf("case %ld\n", static_cast<long>(i));
  std::fflush(stdout);
}

void print_done(int64_t i, const std::string& text) {
  std::printf("done %ld %s\n", static_cast<long>(i), text.c_str());
  std::fflush(stdout);
}

}  // namespace lockstep::gpu_check
