// lockstep-gpu-check: checks and times the CUDA kernels on the GPUs of this machine. Prints the
// devices and the libraries found, compares the bits of every kernel with kernels/reference, then
// times the kernels; --json FILE writes the same as JSON. Exit code 0 if all bits are equal; 1 if a
// bit differs or the check cannot be made; 2 without a GPU or a module for one.
#include <dlfcn.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/gpu/bit_cases.h"
#include "bench/gpu/timings.h"
#include "kernels/cuda_module.h"
#include "kernels/kv_layout.h"

namespace {

using namespace lockstep;  // NOLINT(google-build-using-namespace): this is the program
using gpu_check::BitCase;
using gpu_check::Difference;
using gpu_check::Timing;

constexpr const char* kUsage =
    "usage: lockstep-gpu-check [--module FILE] [--search-in DIR]... [--json FILE]";

struct Options {
  std::string module = CudaModule::default_path();
  std::vector<std::string> search_in;  // folders of libraries, in addition to the system's
  std::string json;
};

struct BitResult {
  std::string op, what;
  Difference difference;
};

struct Library {
  std::string name, path;
};

struct Report {
  std::string device, versions;
  std::vector<Library> libraries;
  std::vector<BitResult> bits;
  std::vector<Timing> timings;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--module")
      options.module = argv[i + 1];
    else if (flag == "--search-in")
      options.search_in.emplace_back(argv[i + 1]);
    else if (flag == "--json")
      options.json = argv[i + 1];
    else
      return false;
  }
  return argc % 2 == 1;
}

// The path of a library, found by the dynamic linker or in one of `folders`; empty if not found.
std::string find_library(const std::string& name, const std::vector<std::string>& folders) {
  std::vector<std::string> candidates{name};
  for (const std::string& folder : folders) candidates.push_back(folder + "/" + name);
  for (const std::string& path : candidates) {
    void* handle = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (handle == nullptr) continue;
    dlclose(handle);
    return path;
  }
  return {};
}

std::vector<BitResult> check_bits(Device& device, Stream& stream) {
  std::vector<BitResult> results;
  for (const BitCase& c : all_bit_cases(gpu_check::Sizes::kLarge)) {
    gpu_check::ReferenceSide reference;
    const auto expected = c.run(reference);
    gpu_check::DeviceSide side(device, stream);
    results.push_back({c.op, c.what, compare(expected, c.run(side))});
    const Difference& d = results.back().difference;
    if (d.n_different == 0) continue;
    std::printf("DIFFERS  %s, %s: %ld of %ld, first %s\n", c.op.c_str(), c.what.c_str(),
                static_cast<long>(d.n_different), static_cast<long>(d.n_values), d.first.c_str());
  }
  return results;
}

void print_bits(const std::vector<BitResult>& results) {
  std::printf("\n%-14s %8s %14s %12s\n", "bits", "cases", "values", "different");
  std::vector<std::string> ops;
  for (const BitResult& r : results) {
    if (std::find(ops.begin(), ops.end(), r.op) == ops.end()) ops.push_back(r.op);
  }
  for (const std::string& op : ops) {
    long n_cases = 0, n_values = 0, n_different = 0;
    for (const BitResult& r : results) {
      if (r.op != op) continue;
      ++n_cases;
      n_values += static_cast<long>(r.difference.n_values);
      n_different += static_cast<long>(r.difference.n_different);
    }
    std::printf("%-14s %8ld %14ld %12ld\n", op.c_str(), n_cases, n_values, n_different);
  }
}

double of_copy(const Timing& timing, const std::vector<Timing>& all) {
  return timing.gb_per_s() / all.front().gb_per_s();
}

void print_timings(const std::vector<Timing>& timings) {
  std::printf("\n%-14s %-42s %9s %8s %8s\n", "speed", "", "us", "GB/s", "of copy");
  for (const Timing& t : timings) {
    std::printf("%-14s %-42s %9.2f %8.0f %7.0f%%\n", t.op.c_str(), t.what.c_str(), t.microseconds,
                t.gb_per_s(), 100 * of_copy(t, timings));
  }
}

// Nothing is escaped: names and shapes of cases and names of devices have no such characters.
std::string json_of(const Report& report) {
  std::ostringstream out;
  out << "{\n  \"device\": \"" << report.device << "\",\n  \"versions\": \"" << report.versions
      << "\",\n  \"libraries\": {";
  for (size_t i = 0; i < report.libraries.size(); ++i) {
    out << (i > 0 ? ", " : "") << "\"" << report.libraries[i].name
        << "\": " << (report.libraries[i].path.empty() ? "false" : "true");
  }
  out << "},\n  \"bits\": [\n";
  for (size_t i = 0; i < report.bits.size(); ++i) {
    const BitResult& r = report.bits[i];
    out << "    {\"op\": \"" << r.op << "\", \"what\": \"" << r.what
        << "\", \"values\": " << r.difference.n_values
        << ", \"different\": " << r.difference.n_different << "}"
        << (i + 1 < report.bits.size() ? ",\n" : "\n");
  }
  out << "  ],\n  \"speed\": [\n";
  for (size_t i = 0; i < report.timings.size(); ++i) {
    const Timing& t = report.timings[i];
    out << "    {\"op\": \"" << t.op << "\", \"what\": \"" << t.what
        << "\", \"us\": " << t.microseconds << ", \"gb_per_s\": " << t.gb_per_s()
        << ", \"of_copy\": " << of_copy(t, report.timings) << "}"
        << (i + 1 < report.timings.size() ? ",\n" : "\n");
  }
  out << "  ]\n}\n";
  return out.str();
}

int cannot_write(const std::string& path) {
  std::printf("cannot write %s: %s\n", path.c_str(), std::strerror(errno));
  return 1;
}

int run(const Options& options) {
  Result<CudaModule> module = CudaModule::load(options.module);
  if (!module) {
    std::printf("%s\n", module.error().message.c_str());
    return module.error().code == ErrorCode::kNotFound ? 2 : 1;
  }
  Report report;
  report.versions = module->versions();
  std::printf("CUDA %s\n", report.versions.c_str());
  for (const char* name : {"libnccl.so.2", "libcublasLt.so.13"}) {
    report.libraries.push_back({name, find_library(name, options.search_in)});
    const std::string& path = report.libraries.back().path;
    std::printf("%s: %s\n", name, path.empty() ? "not found" : path.c_str());
  }
  std::string why_none;
  const std::vector<CudaDeviceInfo> devices = module->devices(why_none);
  for (const CudaDeviceInfo& d : devices) {
    std::printf("device %d: %s, compute capability %d.%d, %.1f GiB\n", d.idx, d.name.c_str(),
                d.compute_version / 10, d.compute_version % 10, double(d.memory_bytes) / (1 << 30));
  }
  if (devices.empty()) {
    std::printf("no GPU: %s\n", why_none.c_str());
    return 2;
  }
  std::ofstream json;  // opened first, so that a bad path fails at once
  if (!options.json.empty()) {
    json.open(options.json);
    if (!json) return cannot_write(options.json);
  }

  const std::unique_ptr<Device> device = module->open(devices.front().idx);
  MemoryLedger ledger;
  const std::unique_ptr<Stream> stream = device->make_stream({.head_dim = kMaxHeadDim}, ledger);
  report.device = device->name();
  report.bits = check_bits(*device, *stream);
  print_bits(report.bits);
  auto* time = reinterpret_cast<CudaTime*>(module->symbol("lockstep_cuda_time"));
  auto* copy = reinterpret_cast<CudaCopy*>(module->symbol("lockstep_cuda_copy"));
  CHECK(time != nullptr && copy != nullptr);
  report.timings = gpu_check::time_kernels(*device, *stream, *time, *copy);
  print_timings(report.timings);
  if (json.is_open()) {
    json << json_of(report);
    json.close();
    if (!json) return cannot_write(options.json);
  }
  const bool equal = std::all_of(report.bits.begin(), report.bits.end(),
                                 [](const BitResult& r) { return r.difference.n_different == 0; });
  std::printf("\n%s\n", equal ? "every bit is the reference's" : "BITS DIFFER");
  return equal ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr, "%s\n", kUsage);
    return 64;
  }
  return run(options);
}
