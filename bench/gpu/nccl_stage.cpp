// Two ranks over NCCL: they join, exchange values, and each sees the end when the other leaves.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

#include "bench/gpu/child_process.h"
#include "bench/gpu/first_gpu.h"
#include "bench/gpu/libraries.h"
#include "common/log.h"
#include "parallel/nccl/nccl_group.h"

namespace lockstep::gpu_check {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kRanks = 2;
constexpr NcclDeadlines kDeadlines{.join = milliseconds(15'000), .call = milliseconds(2'000)};
constexpr double kLongestStep = 20.0;  // seconds without a line of a rank

constexpr const char* kHex = "0123456789abcdef";

std::string hex_of(const NcclGroupId& id) {
  std::string text;
  for (const char byte : id.bytes) {
    text += kHex[static_cast<unsigned char>(byte) >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

NcclGroupId id_of(const std::string& text) {
  NcclGroupId id;
  for (size_t i = 0; i < id.bytes.size() && 2 * i + 1 < text.size(); ++i) {
    id.bytes[i] = static_cast<char>(std::strtol(text.substr(2 * i, 2).c_str(), nullptr, 16));
  }
  return id;
}

Result<std::unique_ptr<NcclLibrary>> open_library(const Options& options, const Gpus& gpus) {
  std::string path = options.nccl_library;
  if (path.empty()) path = find_library("libnccl.so.2", options.search_in);
  return open_nccl(gpus.module, path);
}

// The part of one rank. say(what, ms): a step was right, and how long it took. Returns what went
// wrong, or "".
class RankCheck {
 public:
  using Say = std::function<void(const std::string& what, double ms)>;

  RankCheck(const Gpus& gpus, int rank, Say say)
      : rank_(rank),
        device_idx_(gpus.devices[static_cast<size_t>(rank) % gpus.devices.size()].idx),
        device_(gpus.module.open(device_idx_)),
        stream_(device_->make_stream({}, ledger_)),
        say_(std::move(say)) {}

  std::string run(const NcclLibrary& library, const NcclGroupId& id) {
    auto begin = steady_clock::now();
    auto joined = library.join({.group_id = id,
                                .rank = rank_,
                                .size = kRanks,
                                .device_idx = device_idx_,
                                .deadlines = kDeadlines});
    if (!joined) return "join: " + joined.error().message;
    communicator_ = std::move(*joined);
    say("join", begin);
    for (const int64_t n : {8, 4096, 1 << 20}) {
      if (std::string wrong = gather(n); !wrong.empty()) return wrong;
    }
    if (std::string wrong = broadcast(); !wrong.empty()) return wrong;
    begin = steady_clock::now();
    if (const auto result = communicator_->agree(42); result != CommResult::kOk) {
      return str("agree: ", to_string(result));
    }
    say("agree", begin);
    return part();
  }

 private:
  using Values = std::vector<int32_t>;

  void say(const std::string& what, steady_clock::time_point begin) const {
    say_(what, std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count());
  }

  DeviceBuffer upload(const Values& values) {
    DeviceBuffer buffer(*device_, ledger_, MemoryTag::kOther, std::ssize(values) * 4);
    device_->upload(buffer.data(), values.data(), buffer.bytes());
    return buffer;
  }
  Values download(const DeviceBuffer& buffer) {
    stream_->wait();
    Values values(static_cast<size_t>(buffer.bytes() / 4));
    device_->download(values.data(), buffer.data(), buffer.bytes());
    return values;
  }

  static Values values_of_rank(int rank, int64_t n) {
    Values values(static_cast<size_t>(n));
    std::iota(values.begin(), values.end(), rank * 100'000'000);
    return values;
  }

  std::string gather(int64_t n) {
    const DeviceBuffer mine = upload(values_of_rank(rank_, n));
    const DeviceBuffer all = upload(Values(static_cast<size_t>(kRanks * n), -1));
    const auto begin = steady_clock::now();
    constexpr int kTimes = 5;
    for (int i = 0; i < kTimes; ++i) {
      const CommResult result = communicator_->all_gather(
          view(mine.as<int32_t>(), {1, n}), view(all.as<int32_t>(), {kRanks, n}), *stream_);
      if (result != CommResult::kOk) return str("all_gather of ", n, ": ", to_string(result));
    }
    stream_->wait();
    say(str(kTimes, " x all_gather of ", n * 4, " bytes"), begin);
    Values expected = values_of_rank(0, n);
    const Values second = values_of_rank(1, n);
    expected.insert(expected.end(), second.begin(), second.end());
    return download(all) == expected ? "" : str("all_gather of ", n, " gives other values");
  }

  std::string broadcast() {
    constexpr int64_t kValues = 1000;
    const DeviceBuffer data = upload(values_of_rank(rank_, kValues));
    const auto begin = steady_clock::now();
    const CommResult result =
        communicator_->broadcast(view(data.as<int32_t>(), {1, kValues}), 1, *stream_);
    if (result != CommResult::kOk) return str("broadcast: ", to_string(result));
    stream_->wait();
    say(str("broadcast of ", kValues * 4, " bytes"), begin);
    return download(data) == values_of_rank(1, kValues) ? "" : "broadcast gives other values";
  }

  // Rank 1 aborts and leaves. Rank 0, which waits for it, must see an end before long.
  std::string part() {
    const auto begin = steady_clock::now();
    if (rank_ == 1) {
      communicator_->abort();
      say("abort", begin);
    } else {
      const CommResult result = communicator_->barrier();
      if (result == CommResult::kOk) return "a barrier with a rank that has left";
      say(str("the other's abort: ", to_string(result)), begin);
      if (communicator_->barrier() == CommResult::kOk) return "a barrier after the group's end";
    }
    communicator_.reset();
    return "";
  }

  const int rank_;
  const int device_idx_;
  MemoryLedger ledger_;
  const std::unique_ptr<Device> device_;
  const std::unique_ptr<Stream> stream_;
  const Say say_;
  std::unique_ptr<Communicator> communicator_;
};

void record(Report& report, int rank, const std::string& what, double ms) {
  char text[120];
  std::snprintf(text, sizeof text, "rank %d  %-36s %9.2f ms", rank, what.c_str(), ms);
  report.result(text, JsonObject().add("rank", int64_t{rank}).add("what", what).add("ms", ms));
}

// Ranks that are threads of this process: of the emulated NCCL, or with a GPU for each.
std::string run_threads(const NcclLibrary& library, const NcclGroupId& id, const Gpus& gpus,
                        Report& report) {
  struct Step {
    std::string what;
    double ms;
  };
  std::vector<Step> steps[kRanks];
  std::string wrong[kRanks];
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank) {
    threads.emplace_back([&, rank] {
      RankCheck check(gpus, rank, [&steps, rank](const std::string& what, double ms) {
        steps[rank].push_back({what, ms});
      });
      wrong[rank] = check.run(library, id);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int rank = 0; rank < kRanks; ++rank) {
    for (const auto& [what, ms] : steps[rank]) record(report, rank, what, ms);
  }
  return wrong[0].empty() ? wrong[1] : wrong[0];
}

// Ranks that are processes. With one GPU they get host names of their own, since NCCL refuses two
// ranks of one host on a GPU, and talk over the loopback interface.
std::string run_processes(const NcclGroupId& id, const Options& options, bool one_gpu,
                          Report& report) {
  std::vector<std::unique_ptr<ChildProcess>> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    std::vector<std::string> arguments = arguments_for(options, "nccl-rank");
    arguments.insert(arguments.end(), {"--rank", std::to_string(rank), "--group-id", hex_of(id)});
    std::vector<std::string> environment;
    if (one_gpu) environment = {str("NCCL_HOSTID=rank", rank), "NCCL_SOCKET_IFNAME=lo"};
    ranks.push_back(std::make_unique<ChildProcess>(arguments, environment));
  }
  std::string wrong;
  for (int rank = 0; rank < kRanks; ++rank) {
    ChildProcess& process = *ranks[static_cast<size_t>(rank)];
    std::string line, last;
    for (;;) {
      const double left = std::min(kLongestStep, report.seconds_left());
      const ChildProcess::Read read = process.read_line(line, left);
      if (read == ChildProcess::Read::kEnd) break;
      if (read == ChildProcess::Read::kTimeout) {
        process.kill();
        return str("rank ", rank, " does not end", last.empty() ? "" : "; its last line: " + last);
      }
      double ms = 0;
      int at = 0;
      if (std::sscanf(line.c_str(), "step %lf %n", &ms, &at) == 1) {
        record(report, rank, line.substr(static_cast<size_t>(at)), ms);
      } else {
        last = line;
        report.note(line);
      }
    }
    if (const std::string how = process.how_it_ended(); !how.empty() && wrong.empty()) {
      wrong = str("rank ", rank, ": ", how, last.empty() ? "" : ": " + last);
    }
  }
  return wrong;
}

}  // namespace

int check_nccl(const Options& options, const Gpus& gpus, Report& report) {
  const bool one_gpu = gpus.devices.size() < kRanks;
  if (one_gpu && options.ranks_are_threads) return report.skipped("two threads need two GPUs");
  if (one_gpu) setenv("NCCL_SOCKET_IFNAME", "lo", 1);  // for the root of the group's id
  auto library = open_library(options, gpus);
  if (!library) return report.skipped(library.error().message);
  const auto id = (*library)->make_group_id();
  if (!id) return report.ended(false, id.error().message);
  const std::string wrong = options.ranks_are_threads
                                ? run_threads(**library, *id, gpus, report)
                                : run_processes(*id, options, one_gpu, report);
  return report.ended(wrong.empty(), wrong.empty()
                                         ? str("NCCL ", (*library)->version(), ", ", kRanks, " ",
                                               options.ranks_are_threads ? "threads" : "processes",
                                               " on ", one_gpu ? "one GPU" : "two GPUs")
                                         : wrong);
}

int run_nccl_rank(const Options& options, const Gpus& gpus) {
  auto library = open_library(options, gpus);
  if (!library) {
    std::printf("%s\n", library.error().message.c_str());
    return kExitWrong;
  }
  RankCheck check(gpus, options.rank, [](const std::string& what, double ms) {
    std::printf("step %f %s\n", ms, what.c_str());
    std::fflush(stdout);
  });
  const std::string wrong = check.run(**library, id_of(options.group_id));
  if (!wrong.empty()) std::printf("%s\n", wrong.c_str());
  return wrong.empty() ? kExitRight : kExitWrong;
}

}  // namespace lockstep::gpu_check
