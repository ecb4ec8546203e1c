#include <cstdio>
#include <memory>
#include <thread>
#include <utility>

#include "bench/gpu/first_gpu.h"
#include "bench/gpu/isolated_cases.h"
#include "bench/gpu/stages.h"
#include "common/log.h"

namespace lockstep::gpu_check {
namespace {

struct Totals {
  int64_t n_cases = 0, n_values = 0, n_different = 0;
  int64_t n_died = 0;  // cases that ended their process, or did not end
};

// Adds up what the cases say, and reports on each op behind its last case.
class BitReport {
 public:
  explicit BitReport(Report& report) : report_(report) {}

  void done(const BitCase& c, const std::string& text) {  // "VALUES DIFFERENT FIRST"
    begin(c);
    long n_values = 0, n_different = 0;
    int first = 0;
    std::sscanf(text.c_str(), "%ld %ld %n", &n_values, &n_different, &first);
    for (Totals* totals : {&of_op_, &all_}) {
      ++totals->n_cases;
      totals->n_values += n_values;
      totals->n_different += n_different;
    }
    if (n_different == 0) return;
    fault(c, str(n_different, " of ", n_values, " values differ, first ",
                 text.substr(static_cast<size_t>(first))));
  }
  void died(const BitCase& c, const std::string& how) {
    begin(c);
    ++of_op_.n_died;
    ++all_.n_died;
    fault(c, how);
  }
  void end_op() {
    if (op_.empty()) return;
    const Totals totals = std::exchange(of_op_, {});
    char text[120];
    std::snprintf(text, sizeof text, "%-14s %5ld cases %12ld values %10ld differ%s", op_.c_str(),
                  long(totals.n_cases), long(totals.n_values), long(totals.n_different),
                  totals.n_died > 0 ? ", some died" : "");
    report_.result(text, JsonObject()
                             .add("op", op_)
                             .add("cases", totals.n_cases)
                             .add("values", totals.n_values)
                             .add("different", totals.n_different)
                             .add("died", totals.n_died));
  }
  const Totals& all() const { return all_; }

 private:
  void begin(const BitCase& c) {
    if (c.op != op_) end_op();
    op_ = c.op;
  }
  void fault(const BitCase& c, const std::string& what) {
    report_.result(str("WRONG  ", c.op, ", ", c.what, ": ", what),
                   JsonObject().add("op", c.op).add("what", c.what).add("fault", what));
  }

  Report& report_;
  std::string op_;  // of the case before
  Totals of_op_, all_;
};

}  // namespace

int check_bits(const Options& options, Report& report) {
  const std::vector<BitCase> cases = all_bit_cases(options.sizes);
  BitReport bits(report);
  const auto at = [&cases](int64_t i) -> const BitCase& { return cases[static_cast<size_t>(i)]; };
  const int64_t n_run =
      run_isolated(options,
                   {.stage = "bit-cases",
                    .n = std::ssize(cases),
                    .done = [&](int64_t i, const std::string& text) { bits.done(at(i), text); },
                    .died = [&](int64_t i, const std::string& how) { bits.died(at(i), how); }},
                   report);
  if (n_run < 0) {
    report.skipped("no GPU");
    return kExitNoGpu;
  }
  bits.end_op();
  const Totals& all = bits.all();
  return report.ended(
      all.n_different == 0 && all.n_died == 0,
      str(all.n_cases, " of ", cases.size(), " cases compared, ", all.n_different, " of ",
          all.n_values, " values differ", all.n_died > 0 ? str(", ", all.n_died, " died") : ""));
}

int run_bit_cases(const Options& options, const Gpus& gpus) {
  FirstGpu gpu(gpus);
  const std::vector<BitCase> cases = all_bit_cases(options.sizes);
  for (int64_t i = options.first_case; i < std::ssize(cases); ++i) {
    const BitCase& c = cases[static_cast<size_t>(i)];
    if (!c.op.starts_with(options.op)) continue;
    print_case(i);
    CpuSide cpu(best_isa(), static_cast<int>(std::thread::hardware_concurrency()));
    const std::vector<Output> expected = c.run(cpu);
    DeviceSide side(gpu.device(), gpu.stream());
    const Difference d = compare(expected, c.run(side));
    print_done(i, str(d.n_values, " ", d.n_different, " ", d.first));
  }
  return kExitRight;
}

}  // namespace lockstep::gpu_check
