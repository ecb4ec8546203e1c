// ChildProcess: this program, started again. What it does to the GPU, a fault included, ends with
// it, and its lines say how far it got.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace lockstep::gpu_check {

class ChildProcess {
 public:
  // environment: NAME=VALUE, in addition to that of this process.
  explicit ChildProcess(const std::vector<std::string>& arguments,
                        const std::vector<std::string>& environment = {});
  ~ChildProcess();  // ends the process if it runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  enum class Read { kLine, kEnd, kTimeout };
  // The next line of its standard output or standard error, without its end.
  Read read_line(std::string& line, double max_seconds);

  void kill();
  // Waits for the end, and says how it ended: "" for exit code 0, else "exit code 1", "signal 6".
  std::string how_it_ended();

 private:
  pid_t pid_ = -1;  // -1: it has been waited for
  int output_ = -1;
  std::string unread_;
  std::string how_;
};

}  // namespace lockstep::gpu_check
