// A coordinator whose process has no file descriptors left.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <mutex>

#include "common/log.h"
#include "tests/support/coordinator_harness.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::CoordinatorHarness;
using testing::FakeNode;

// While this object exists, no file descriptor can be opened in this process.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int highest = dup(0);
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(highest) + 1;
    setrlimit(RLIMIT_NOFILE, &limit);
    fds_.push_back(highest);
    for (int fd = dup(0); fd >= 0; fd = dup(0)) fds_.push_back(fd);
  }
  ~NoDescriptors() {
    setrlimit(RLIMIT_NOFILE, &before_);
    for (int fd : fds_) close(fd);
  }

 private:
  rlimit before_{};
  std::vector<int> fds_;
};

// A socket that exists now and is connected later, so that connecting needs no descriptor.
class Prepared {
 public:
  Prepared() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {}
  ~Prepared() { close(fd_); }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  void connect_to(uint16_t port) const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval timeout{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  std::string get(const std::string& path) const {
    const std::string text = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), ssize_t(text.size()));
    char answer[12] = {};
    recv(fd_, answer, sizeof answer, MSG_WAITALL);
    return {answer, sizeof answer};
  }

 private:
  const int fd_;
};

class Lines {
 public:
  Lines() {
    set_log_sink([this](LogLevel, std::string_view line) {
      std::lock_guard lock(mutex_);
      if (line.find("cannot accept") != std::string_view::npos) ++n_;
    });
  }
  ~Lines() { set_log_sink(nullptr, LogLevel::kInfo); }
  int n() {
    std::lock_guard lock(mutex_);
    return n_;
  }

 private:
  std::mutex mutex_;
  int n_ = 0;  // guarded by mutex_
};

TEST(Descriptors, WithoutAnyProbesAreAnsweredAndTheLogHasALineNotFiftyASecond) {
  Lines lines;
  {
    FakeNode node;
    CoordinatorHarness coordinator({&node});
    std::vector<Prepared> probes(8), clients(3);
    const NoDescriptors none;
    for (const Prepared& client : clients) client.connect_to(coordinator.port());
    std::this_thread::sleep_for(300ms);  // fifteen times the server's pause
    EXPECT_EQ(lines.n(), 1);
    for (size_t i = 0; i < probes.size(); ++i) {
      probes[i].connect_to(coordinator.admin_port());
      EXPECT_EQ(probes[i].get(i % 2 == 0 ? "/livez" : "/readyz"), "HTTP/1.1 200") << i;
    }
  }
  EXPECT_LE(lines.n(), 2);
}

}  // namespace
}  // namespace lockstep
