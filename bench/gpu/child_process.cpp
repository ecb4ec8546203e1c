#include "bench/gpu/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "common/check.h"

namespace lockstep::gpu_check {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (const std::string& string : strings) list.push_back(const_cast<char*>(string.c_str()));
  list.push_back(nullptr);
  return list;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments,
                           const std::vector<std::string>& environment) {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  output_ = ends[0];
  std::vector<std::string> all{"lockstep-gpu-check"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables = environment;  // the first of two of one name counts
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  CHECK_EQ(posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, pointers(all).data(),
                       pointers(variables).data()),
           0);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    kill();
    how_it_ended();
  }
  close(output_);
}

ChildProcess::Read ChildProcess::read_line(std::string& line, double max_seconds) {
  using std::chrono::steady_clock;
  const auto until = steady_clock::now() + std::chrono::duration<double>(max_seconds);
  for (;;) {
    if (const size_t end = unread_.find('\n'); end != std::string::npos) {
      line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return Read::kLine;
    }
    const double left = std::chrono::duration<double>(until - steady_clock::now()).count();
    pollfd wait{output_, POLLIN, 0};
    const int ready = poll(&wait, 1, left > 0 ? static_cast<int>(left * 1e3) + 1 : 0);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return Read::kTimeout;
    char bytes[4096];
    const ssize_t n = read(output_, bytes, sizeof bytes);
    if (n <= 0) return Read::kEnd;
    unread_.append(bytes, static_cast<size_t>(n));
  }
}

void ChildProcess::kill() { ::kill(pid_, SIGKILL); }

std::string ChildProcess::how_it_ended() {
  if (pid_ < 0) return how_;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) {
    how_ = "signal " + std::to_string(WTERMSIG(status));
  } else if (WEXITSTATUS(status) != 0) {
    how_ = "exit code " + std::to_string(WEXITSTATUS(status));
  }
  return how_;
}

}  // namespace lockstep::gpu_check
