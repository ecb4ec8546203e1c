// Cases that run in processes of their own, one process after another: a case that faults, hangs or
// ends its process does not end those behind it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "bench/gpu/options.h"
#include "bench/gpu/report.h"

namespace lockstep::gpu_check {

struct IsolatedCases {
  // The stage of the processes. It runs the cases from --first-case on, and prints "case I" before
  // each one and "done I TEXT" after it. What else it prints is shown.
  std::string stage;
  int64_t n = 0;
  double longest_case = 30.0;  // seconds
  std::function<void(int64_t i, const std::string& text)> done;
  std::function<void(int64_t i, const std::string& how)> died;
};

// Runs all, as long as there is time. Gives up after a few cases that died. Returns how many have
// run, or -1 if there is no GPU.
int64_t run_isolated(const Options& options, const IsolatedCases& cases, Report& report);

// What the processes print.
void print_case(int64_t i);
void print_done(int64_t i, const std::string& text);

}  // namespace lockstep::gpu_check
